"""`twite mcp`: the reports of `app.reports` as read-only tools of the Model Context Protocol."""
