"""Pictures of tiles and dashboards where there is no browser: for mail, chat and paper.

What draws them is in `drawing`, which is imported where a picture is made: it takes a second and tens of megabytes.
"""
