"""The pages: what shows is plain HTML with live parts, what is edited is Panel; they reach the house through the
workspace alone."""

from dash_app.pages.assembly import Pages, build

__all__ = ["Pages", "build"]
