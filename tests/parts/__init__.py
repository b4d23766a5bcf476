"""What tests share: models of few weights, folders, command lines, an endpoint, a browser, damage."""
