"""The console: pages for people, rendered on the server.

    application   checks a request (address, host, session, origin, role) and calls its page
    page          a page: its routes, its place in the navigation, and its requests
    render        templates, and the functions that they may call
    table_view    tables: their columns, and the order and filters that a URL chooses
    time_range    time ranges in the viewer's zone, such as last week
    time_chart    charts over time, which the macro of `chart.html` draws
    charts        bars of parts

A page is a class in `pages`, with one or more templates of its own:

    class AuditPage:
        trail: AccountDirectory        # ports, never a store

        @property
        def routes(self) -> Sequence[PageRoute]:
            return (
                PageRoute("GET", "/console/people/audit", self._list, role=Role.ADMIN,
                      location=PageLocation("Audit", NavigationGroup.ACCESS)),
            )

        async def _list(self, request: PageRequest) -> Response:
            return request.page("access/audit.html", title="Audit", entries=...)

To add a page, name its class in `twite.app.console`. The navigation, the matrix of roles and
routes, and the browser tests then include it. Rules for pages:

- **Authorization**: `role` is the lowest role that a route accepts. Queries about pixels are
  limited to `request.viewer.pixels`; templates never filter.
- **Changes** use POST, in a form that begins with `{{ csrf() }}`. Pass `request.audit_event(...)`
  to the port, or call `request.note(...)` first; then return
  `request.back_to(path, message="…")`.
- **Long work** yields to the event loop, which also serves submissions. See
  `gateway/operations/dry_run.py`.
- **Templates** extend `layout.html`, import macros from `parts.html`, and get plain values. Jinja
  escapes untrusted text; `|shown` (one line) and `|lines` cut it and show invisible characters.
- **Tables** are written with the macro of `table.html`, which documents itself. Others are not
  legible on a phone. `parts.when(ms)` shows a time in the viewer's zone.
- **No inline script or style**: the content security policy forbids both. Charts are SVG with
  attributes; scripts go to `static/console.js`, and pages must work without them.
"""
