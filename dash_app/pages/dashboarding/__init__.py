"""The dashboard's editor: `session` is what the server does for one open page; the document lives in the browser."""
