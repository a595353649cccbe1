"""The console: pages for people, rendered on the server.

    application   checks a request (address, host, session, origin, role) and calls its page
    page          a page: routes, location in the navigation, and its requests
    render        templates and what they may call
    charts geometry of charts: numbers to coordinates, nothing else

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
            return visit.page("access/audit.html", title="Audit", entries=...)

It is named in `twite.app.console`, and is then in the navigation, in the matrix of roles and
routes, and in the tests in a browser. Rules for pages:

- **Authorization**: `role` is the lowest role that a route accepts. Queries about pixels contain
  `visit.viewer.pixels`; templates never filter.
- **Changes** use POST, in a form that begins with `{{ csrf() }}`. Pass `visit.audit_event(...)` to
  the port, or call `visit.note(...)` first; then return `visit.back_to(path, message="…")`.
- **Long work** yields to the event loop, which also serves submissions. See
  `gateway/operations/dry_run.py`.
- **Templates** extend `layout.html`, import macros from `parts.html`, and get plain values. Jinja
  escapes untrusted text; `|shown` (one line) and `|lines` cut it and show invisible characters.
- **No inline script or style**: the policy forbids both. Charts are SVG with attributes, or
  `<meter>`; scripts go to `static/console.js`, and a page must work without.
"""
