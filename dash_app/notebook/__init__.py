"""Dash from a notebook: queries as Polars frames, dashboards and tiles alive in a cell (`docs/notebook.md`).

```python
from dash_app.notebook import connect

dash = connect("http://127.0.0.1:5006", token)
dash.query({"pipeline": "weather", "select": [{"field": "temp", "agg": "avg"}], "every": "1h"})
dash.dashboard("weather")
```
"""

from dash_app.notebook.connection import Connection, NotebookError, connect
from dash_app.notebook.views import LiveView

__all__ = ["Connection", "LiveView", "NotebookError", "connect"]
