"""All pages put together for whoever starts a server: routes, handlers, log-in, options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bokeh.server.auth_provider import AuthProvider
from tornado.web import RequestHandler

from dash_app.pages import dashboard_editor, mapping_editor, new_dashboard
from dash_app.pages.alert import AlertActions, AlertHandler
from dash_app.pages.alerts import AlertsActions, AlertsHandler, NewAlertActions, NewAlertHandler
from dash_app.pages.compare import CompareHandler
from dash_app.pages.dashboard import DashboardActions, DashboardHandler
from dash_app.pages.dashboard_versions import VersionsActions, VersionsHandler
from dash_app.pages.dashboards import DashboardsActions, DashboardsHandler
from dash_app.pages.documents import document
from dash_app.pages.embed import EmbedHandler
from dash_app.pages.gate import Gate, House, PageAuth
from dash_app.pages.home import HomeHandler, PipelinesHandler
from dash_app.pages.new_pipeline import NewPipelineActions, NewPipelineHandler
from dash_app.pages.pipeline import PipelineActions, PipelineHandler
from dash_app.pages.plain import AssetHandler, NowhereHandler, slash_redirect
from dash_app.pages.preferences import PreferencesActions
from dash_app.pages.replays import ReplayActions
from dash_app.pages.reports import ReportsActions, ReportsHandler
from dash_app.pages.shell import STATIC
from dash_app.pages.sinks import NewSinkActions, NewSinkHandler, SinkActions, SinkHandler, SinksHandler
from dash_app.pages.uploads import UploadsHandler

if TYPE_CHECKING:
    from dash_app.app import App
    from dash_app.pipelines.query import Queries


@dataclass(frozen=True)
class Pages:
    """What `panel.io.server.get_server` is given. `handlers` stand behind all others: the last redirects a slash too
    many."""

    routes: dict[str, Callable[[], Any]]
    auth_provider: AuthProvider
    handlers: list[tuple[str, type[RequestHandler], dict[str, Any]]]
    server_options: dict[str, Any] = field(default_factory=dict)


def build(app: App, access: Gate, queries: Queries) -> Pages:
    """The pages of a node. Panel serves those on which something is edited, Tornado those that show."""
    house = House(app, access, queries)
    documents = {
        "/pipelines/{ref}/mapping": mapping_editor,
        "/dashboards/new": new_dashboard,
        "/dashboards/{uid}/edit": dashboard_editor,
    }
    given = {"house": house}
    return Pages(
        routes={route: document(module.build) for route, module in documents.items()},
        auth_provider=PageAuth(house, {route: module.opening for route, module in documents.items()}),
        handlers=[
            (r"/", HomeHandler, given),
            (r"/pipelines", PipelinesHandler, given),
            (r"/pipelines/new", NewPipelineHandler, given),
            (r"/pipelines/new/actions/(?P<action>[a-z]+)", NewPipelineActions, given),
            (r"/pipelines/(?P<ref>[^/]+)", PipelineHandler, given),
            (r"/pipelines/(?P<ref>[^/]+)/actions/(?P<action>[a-z]+)", PipelineActions, given),
            (r"/pipelines/(?P<ref>[^/]+)/compare(?:/(?P<action>[a-z]+))?", CompareHandler, given),
            (r"/pipelines/(?P<ref>[^/]+)/replays/(?P<action>[a-z]+)", ReplayActions, given),
            (r"/pipelines/(?P<ref>[^/]+)/uploads", UploadsHandler, given),
            (r"/dashboards", DashboardsHandler, given),
            (r"/dashboards/list/(?P<action>[a-z]+)", DashboardsActions, given),
            (r"/dashboards/(?P<uid>[^/]+)/versions", VersionsHandler, given),
            (r"/dashboards/(?P<uid>[^/]+)/versions/(?P<action>[a-z]+)", VersionsActions, given),
            (r"/preferences/(?P<action>[a-z]+)", PreferencesActions, given),
            (r"/dashboards/(?P<uid>[^/]+)", DashboardHandler, given),
            (r"/dashboards/(?P<uid>[^/]+)/actions/(?P<action>[a-z]+)", DashboardActions, given),
            (r"/sinks", SinksHandler, given),
            (r"/sinks/new", NewSinkHandler, given),
            (r"/sinks/new/actions/(?P<action>[a-z]+)", NewSinkActions, given),
            (r"/sinks/(?P<ref>[^/]+)", SinkHandler, given),
            (r"/sinks/(?P<ref>[^/]+)/actions/(?P<action>[a-z]+)", SinkActions, given),
            (r"/reports", ReportsHandler, given),
            (r"/reports/list/(?P<action>[a-z]+)", ReportsActions, given),
            (r"/alerts", AlertsHandler, given),
            (r"/alerts/list/(?P<action>[a-z]+)", AlertsActions, given),
            (r"/alerts/new", NewAlertHandler, given),
            (r"/alerts/new/actions/(?P<action>[a-z]+)", NewAlertActions, given),
            (r"/alerts/(?P<ref>[^/]+)", AlertHandler, given),
            (r"/alerts/(?P<ref>[^/]+)/actions/(?P<action>[a-z]+)", AlertActions, given),
            (r"/embed/dashboards/(?P<uid>[^/]+)", EmbedHandler, given),
            (r"/assets/(.*)", AssetHandler, {"path": str(STATIC[0]), "version": house.shell.version}),
            slash_redirect(),
        ],
        server_options={
            # Taken from the environment when Bokeh is imported, unless they are given: a session's id is signed with
            # our key.
            "sign_sessions": True,
            "secret_key": app.vault.derive("bokeh").hex().encode(),
            # The page's token must carry neither the cookie nor a bearer token.
            "include_cookies": [],
            "exclude_headers": ["Cookie", "Authorization"],
            "use_index": False,
            "compress_response": True,
            "ico_path": str(STATIC[0] / "favicon.ico"),
            "default_handler_class": NowhereHandler,
            "default_handler_args": given,
        },
    )
