package secrets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	setupName = "idp_setup" // role and policy; the underscore can't be in the name of a namespace
	authMount = "kubernetes"
	kvMount   = "secret"
	// farewell bounds what has to be done at the end also when the run was interrupted.
	farewell = 10 * time.Second
)

// session is a run that is logged in.
type session struct {
	*Store
	client  *api.Client
	changed []string
	missing []Missing
}

type sessionOptions struct {
	initialise bool // initialise a new store; without it that is an error
	writes     bool
	completes  bool // at its end the declaration is applied in full
}

// opening is the way to a session.
type opening struct {
	*Store
	state   State
	root    string // the root token, from its making to its end
	wiped   bool
	members survey // once it is open
}

// inSession brings the store up, logs in, runs do and logs out.
func (s *Store) inSession(ctx context.Context, o sessionOptions, do func(context.Context, *session) error) (err error) {
	if s.Lock != nil {
		held, release, err := s.Lock(ctx)
		if err != nil {
			return err
		}
		defer release()
		ctx = held
	}
	state, err := s.Site.Load(ctx)
	if err != nil {
		return err
	}
	if state.Phase != PhaseReady && !o.initialise {
		return errNotSetUp
	}
	p := &opening{Store: s, state: state}
	active, token, err := p.open(ctx, o)
	if err != nil {
		return err
	}
	client, err := active.client.Clone()
	if err != nil {
		return err
	}
	client.SetToken(token)
	x := &session{Store: s, client: client}
	defer func() { err = errors.Join(err, x.logOut(ctx)) }()
	if !o.writes {
		return do(ctx, x)
	}
	wasOpen := p.state.Open
	if !wasOpen {
		p.state.Open = true
		if p.state, err = s.Site.Save(ctx, p.state); err != nil {
			return err
		}
	}
	if err := do(ctx, x); err != nil {
		return err
	}
	switch {
	case o.completes:
		p.state.Open, p.state.Applied, p.state.Cluster = false, digest(s.Declared), active.health.ClusterID
		p.state.Servers = p.members.servers()
	case wasOpen:
		return nil // what an earlier run left open is for the next Reconcile
	default:
		p.state.Open = false
	}
	_, err = s.Site.Save(ctx, p.state)
	return err
}

func (x *session) logOut(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := x.client.Auth().Token().RevokeSelfWithContext(ctx, ""); err != nil {
		return refused("logging out", err)
	}
	return nil
}

// open waits until the store is open and gives the member that leads, with a token of the set-up.
func (p *opening) open(ctx context.Context, o sessionOptions) (leader *found, token string, err error) {
	defer func() {
		if p.root != "" {
			err = errors.Join(err, p.revokeRoot(ctx))
		}
	}()
	for {
		all, err := p.survey(ctx)
		if err != nil {
			return nil, "", err
		}
		leader, err = p.advance(ctx, all, o)
		if err != nil {
			return nil, "", err
		}
		if leader != nil {
			token, done, err := p.enter(ctx, leader, o.initialise)
			if err != nil || done {
				return leader, token, err
			}
			leader = nil
		}
		if err := p.pause(ctx); err != nil {
			return nil, "", fmt.Errorf("waiting for the secret store (%s): %w", all.summary(), err)
		}
	}
}

// advance does the next thing that a store needs to be open; it gives the leader once there is one.
func (p *opening) advance(ctx context.Context, all survey, o sessionOptions) (*found, error) {
	if leader := all.active(); leader != nil && (len(p.state.Keys) > 0 || p.state.Phase == PhaseReady) {
		p.members = all
		return leader, nil
	}
	initialised, err := all.initialised()
	switch {
	case err != nil:
		p.Say(strings.ReplaceAll(err.Error(), "\n", "; "))
		return nil, nil
	case !initialised && !o.initialise:
		return nil, errNotSetUp
	case !initialised:
		return nil, p.initialise(ctx, all)
	case len(p.state.Keys) == 0 && p.state.Phase == PhaseInitialising:
		return nil, p.wipe(ctx, all, "a run was interrupted after it had initialised the secret store and before it had kept the unseal key: nobody has it")
	case len(p.state.Keys) == 0:
		return nil, errors.New("the secret store is initialised and its unseal keys are not where they should be: " +
			"restore that Secret from a backup; or, " + anew)
	}
	return nil, p.unseal(ctx, all)
}

// anew is what remains where a program mustn't decide.
const anew = "to give up every value in it, delete the store's volumes and pods and run: idp up"

// initialise makes a new store. Before it, the state says that it may have happened, and in which servers: keys that were answered
// and not kept are lost, and the next run knows that nothing else is.
func (p *opening) initialise(ctx context.Context, all survey) (err error) {
	for _, f := range all {
		if f.Disk != "" && f.Disk == p.state.Servers[f.Name].Disk && p.state.Phase == PhaseReady {
			return fmt.Errorf("%s says that it was never initialised, and its disk is the one that held the secret store: "+
				"see whether its storage is still where it was; or, %s", f.Name, anew)
		}
	}
	p.Say("initialising")
	p.state.Former = append(slices.Clone(p.state.Former), p.state.Keys...)
	p.state.Phase, p.state.Keys, p.state.Applied, p.state.Cluster, p.state.Open = PhaseInitialising, nil, "", "", false
	p.state.Servers = all.servers()
	if p.state, err = p.Site.Save(ctx, p.state); err != nil {
		return err
	}
	server := p.Declared.Server
	made, err := all[0].client.Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: server.Shares, SecretThreshold: server.Threshold})
	if err != nil {
		return refused("initialising", err)
	}
	p.root = made.RootToken
	p.state.Keys = made.KeysB64
	p.state, err = p.Site.Save(ctx, p.state)
	return err
}

// unseal opens every sealed member. The unsealer in the cluster does the same after every restart.
func (p *opening) unseal(ctx context.Context, all survey) error {
	for _, f := range all {
		if f.Err != nil || !f.health.Initialized || !f.health.Sealed {
			continue
		}
		p.Say("unsealing " + f.Name)
		for i, key := range p.state.Keys {
			status, err := f.client.Sys().UnsealWithContext(ctx, key)
			if err != nil && (answers(err, http.StatusBadRequest) || answers(err, http.StatusInternalServerError)) {
				return refused("unsealing "+f.Name+" with the keys that are kept", err)
			}
			if err != nil || !status.Sealed {
				break // unreachable for now, or open
			}
			if i == len(p.state.Keys)-1 {
				return fmt.Errorf("%s stays sealed: the keys that are kept are not its keys", f.Name)
			}
		}
	}
	return nil
}

// wipe begins anew where no value is lost by it, once a run.
func (p *opening) wipe(ctx context.Context, all survey, why string) (err error) {
	if p.wiped {
		return nil
	}
	if silent := all.silent(); silent != nil {
		p.Say(strings.ReplaceAll(silent.Error(), "\n", "; "))
		return nil
	}
	if err := p.mayWipe(all); err != nil {
		return err
	}
	p.Say("emptying the storage, which holds nothing yet: " + why)
	p.wiped = true
	if len(p.state.Keys) > 0 {
		p.state.Keys = nil
		if p.state, err = p.Site.Save(ctx, p.state); err != nil {
			return err
		}
	}
	return p.Site.Wipe(ctx)
}

// mayWipe says why a store might hold something after all. That its set-up never ended isn't enough: somebody may have gone on by hand,
// or the state may have come from a backup. It is empty if its servers' processes are those that said to be new before the
// set-up began, and none was ever opened with a key that isn't kept: what such a store holds, only that set-up can have written, and it
// writes no value before it ends.
func (p *opening) mayWipe(all survey) error {
	for _, f := range all {
		why := ""
		switch {
		case !f.health.Initialized:
			continue
		case f.Server != p.state.Servers[f.Name]:
			why = "has restarted since"
		case !f.health.Sealed && len(p.state.Keys) == 0:
			why = "is open, by a key that isn't kept: somebody else has initialised it"
		}
		if why != "" {
			return fmt.Errorf("the set-up of the secret store was interrupted, and whether it is still empty can't be told, since %s %s; %s", f.Name, why, anew)
		}
	}
	return nil
}

// enter logs in at an open store; done is false where it has to be begun anew.
func (p *opening) enter(ctx context.Context, leader *found, initialise bool) (token string, done bool, err error) {
	if p.state.Phase == PhaseReady {
		token, err = p.logIn(ctx, leader.client)
		if err != nil && initialise && !answers(err, http.StatusForbidden) && !answers(err, http.StatusBadRequest) && ctx.Err() == nil {
			p.Say(err.Error())
			return "", false, nil
		}
		return token, err == nil, err
	}
	if p.root == "" {
		token, err = p.logIn(ctx, leader.client)
		switch {
		case err != nil && refusesLogin(err):
			return "", false, p.wipe(ctx, p.members, "a run was interrupted before the set-up could log in ("+err.Error()+")")
		case err != nil && ctx.Err() == nil:
			p.Say(err.Error())
			return "", false, nil
		case err != nil:
			return "", false, err
		}
		if err := revokeRoots(ctx, leader.client, token); err != nil {
			return "", false, err
		}
	} else {
		if token, err = p.firstLogIn(ctx, leader.client); err != nil {
			return "", false, err
		}
		if err := p.revokeRoot(ctx); err != nil {
			return "", false, err
		}
	}
	p.state.Phase, p.state.Open = PhaseReady, true
	p.state, err = p.Site.Save(ctx, p.state)
	return token, err == nil, err
}

// firstLogIn makes the set-up's own login with the root token, and proves that it works before that token ends.
func (p *opening) firstLogIn(ctx context.Context, client *api.Client) (string, error) {
	root, err := client.Clone()
	if err != nil {
		return "", err
	}
	root.SetToken(p.root)
	x := &session{Store: p.Store, client: root}
	if err := x.setUpLogin(ctx); err != nil {
		return "", err
	}
	for {
		token, err := p.logIn(ctx, client)
		if err == nil {
			return token, nil
		}
		p.Say(err.Error())
		// The server asks the cluster about the token, which may take until the two reach one another.
		if paused := p.pause(ctx); paused != nil {
			return "", fmt.Errorf("%w: %w", paused, err)
		}
	}
}

// refusesLogin says whether the store itself has answered that there is no such login.
func refusesLogin(err error) bool {
	return answers(err, http.StatusBadRequest) || answers(err, http.StatusForbidden) || answers(err, http.StatusNotFound)
}

func (p *opening) logIn(ctx context.Context, client *api.Client) (string, error) {
	jwt, err := p.Site.Login(ctx)
	if err != nil {
		return "", err
	}
	answer, err := client.Logical().WriteWithContext(ctx, "auth/"+authMount+"/login", map[string]any{"role": setupName, "jwt": jwt})
	if err != nil {
		return "", refused("logging in as the set-up", err)
	}
	return answer.TokenID()
}

// revokeRoot ends the root token of this run.
func (p *opening) revokeRoot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	all, err := p.survey(ctx)
	if err != nil {
		return err
	}
	leader := all.active()
	if leader == nil {
		return nil // it was never open: the next run begins anew
	}
	client, err := leader.client.Clone()
	if err != nil {
		return err
	}
	client.SetToken(p.root)
	if err := client.Auth().Token().RevokeSelfWithContext(ctx, ""); err != nil && !answers(err, http.StatusForbidden) {
		return refused("revoking the root token", err)
	}
	p.root = ""
	return nil
}

// invalidAccessor is what a server says of a token that is gone: Vault with 403, OpenBao with 400.
const invalidAccessor = "invalid accessor"

// revokeRoots ends the root tokens that an interrupted run left.
func revokeRoots(ctx context.Context, client *api.Client, token string) error {
	client, err := client.Clone()
	if err != nil {
		return err
	}
	client.SetToken(token)
	list, err := client.Logical().ListWithContext(ctx, "auth/token/accessors")
	if err != nil {
		return refused("listing the tokens", err)
	}
	if list == nil {
		return nil
	}
	accessors, _ := list.Data["keys"].([]any)
	for _, accessor := range accessors {
		id, _ := accessor.(string)
		info, err := client.Auth().Token().LookupAccessorWithContext(ctx, id)
		if answers(err, http.StatusForbidden, invalidAccessor) || answers(err, http.StatusBadRequest, invalidAccessor) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return refused("looking at a token", err)
		}
		policies, err := info.TokenPolicies()
		if err != nil {
			return err
		}
		for _, policy := range policies {
			if policy == "root" {
				if err := client.Auth().Token().RevokeAccessorWithContext(ctx, id); err != nil {
					return refused("revoking a root token that an interrupted run left", err)
				}
			}
		}
	}
	return nil
}
