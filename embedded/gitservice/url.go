package gitservice

import (
	"encoding/base64"
	"net/url"
)

// ProxyURL is the value of http_proxy for a client of the Handler at address (host:port).
func ProxyURL(address, password string) string {
	u := url.URL{Scheme: "http", Host: address, User: url.UserPassword(proxyUser, password)}
	return u.String()
}

func basicAuth(password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+password))
}
