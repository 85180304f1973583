"""The demo: three pipelines on real public-domain records, moving through the same road as anybody's data.

`datasets` reads what ships in `data/`, `timeline` decides which record is released when, `server` offers two feeds for
polling, `sender` posts the third as signed webhooks, and `definitions` and `dashboards` are the documents that make
pipelines and pages of them. Nothing here reaches into storage or pipelines: the node's composition root wires it.
"""
