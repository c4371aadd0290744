"""Programs that run as processes of their own: what is measured against us, and the web server of last resort."""
