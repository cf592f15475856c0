package lint

import "strings"

// imagesOf are the images that a component's objects name, by the object that does.
func (w *world) imagesOf(visit func(o *object, image string)) {
	for _, p := range w.pods {
		if p.made {
			continue // its custom resource is looked at below
		}
		for _, c := range p.containers() {
			visit(p.owner, c.Image)
		}
	}
	for _, o := range w.objects {
		if builtIn(o.group()) {
			continue
		}
		for _, field := range []string{"image", "imageName"} {
			if image := o.text("spec", field); image != "" {
				visit(o, image)
			}
		}
	}
}

// imageRegistry: what an image without a registry means is the node's to decide: a mirror's configuration or a container runtime's
// default can make it another image.
func imageRegistry(w *world, report report) {
	w.imagesOf(func(o *object, image string) {
		host, _, ok := strings.Cut(image, "/")
		if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
			report(o, "the image "+show(image)+" names no registry", "spell it out, such as docker.io/"+official(image)+": a chart mostly has image.registry or image.repository")
		}
	})
}

// official is an image's full name in the registry that names none.
func official(image string) string {
	if strings.Contains(image, "/") {
		return image
	}
	return "library/" + image
}

// imageTag: latest, or no tag, is another image tomorrow: two nodes run different programs under one name, and a roll-back brings
// back nothing.
func imageTag(w *world, report report) {
	w.imagesOf(func(o *object, image string) {
		name := image[strings.LastIndex(image, "/")+1:]
		if strings.Contains(name, "@") {
			return
		}
		switch _, tag, _ := strings.Cut(name, ":"); tag {
		case "":
			report(o, "the image "+show(image)+" has no tag", "name the version that is meant")
		case "latest":
			report(o, "the image "+show(image)+" is latest", "name the version that is meant")
		}
	})
}

func show(image string) string {
	if image == "" {
		return `""`
	}
	return image
}
