"""The console: pages for people, drawn by the server.

    application   a request's way in: address, host, session, origin, role; then a page
    page          what a page is: routes, a place in the navigation, and what each request brings
    render        templates and what they may call
    charts        geometry of charts: numbers to coordinates, nothing else

A page is a class in `pages`, with one template or more of its own:

    class AuditPage:
        trail: AccountDirectory        # ports, never a store

        @property
        def routes(self) -> Sequence[PageRoute]:
            return (
                PageRoute("GET", "/console/audit", self._list, role=Role.ADMIN,
                      place=PageLocation("Audit", NavigationGroup.ACCESS)),
            )

        async def _list(self, visit: Visit) -> Response:
            return visit.page("audit.html", title="Audit", entries=...)

It is named in `twite.app.console`, and is then in the navigation, in the matrix of roles and
routes, and in the tests in a browser. What a page must keep to:

- **Who may**: `role` is the least that a route needs. Whatever belongs to a pixel is asked for with
  `visit.viewer.pixels` in the query, never filtered in a template.
- **Changing**: only by POST, in a form that begins with `{{ csrf() }}`; give the port the
  `visit.audit_event(...)`, which it notes with the change, or write it down with `visit.note(...)`
  first; then `visit.back_to(path, message="…")`.
- **Many**: what is done to each of thousands lets go of the event loop between a few of them
  (`gateway.dry_run`): it answers the submissions, too.
- **Templates** extend `layout.html`, take macros from `parts.html`, and get plain values. What came
  from outside is escaped by itself; `|shown` (one line) and
  `|lines` cut it and make what is invisible visible.
- **No inline script or style**: the policy forbids both. Charts are SVG with attributes, or
  `<meter>`; scripts go to `static/console.js`, and a page must work without.
"""
