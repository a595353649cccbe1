"""Import templates: their texts, and the part types that use them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from twite.tags.container.faults import needed_by
from twite.tags.container.parts import Container, TemplatedPart, Variable, VariableSource
from twite.tags.importer import firestore_lookup
from twite.tags.importer.reading import Export, ExportPart, LeftOut
from twite.tags.importer.report import ImportReport, holds, unknown_keys, unread
from twite.tags.json_tree import Tree
from twite.tags.template.apis import APIS, ApiSupport
from twite.tags.template.form import GOOGLE_SERVICES, google_calls, requires
from twite.tags.template.template import Template, TemplateKind, TemplateUnusable, read_template

_ASKING: Final = (
    "sendHttpRequest",
    "sendHttpGet",
    "BigQuery",
    "Firestore",
    "getGoogleScript",
    "sendEventToGoogleAnalytics",
)


@dataclass(slots=True)
class AskingVariables:
    variables: Mapping[str, Variable]
    templates: Mapping[str, Template]

    def notes_of_trigger(self, names: Iterable[str]) -> Iterator[str]:
        for name in dict.fromkeys(names):
            if self._needs(name, _asks):
                yield (
                    f"it reads {name!r}, which fetches its value over the network: Twite looks up "
                    "the value after it has stored the event, and then decides whether tags fire"
                )

    def notes_of_client(self, names: Iterable[str]) -> Iterator[str]:
        for name in dict.fromkeys(names):
            if self._needs(name, lambda _: True):
                yield (
                    f"its fields use {name!r}, which runs a template, so the variable "
                    "has no value in a client"
                )

    def _needs(self, name: str, fits: Callable[[Template], bool]) -> bool:
        seen, ahead = set[str](), [name]
        while ahead:
            variable = self.variables.get(ahead.pop())
            if variable is None or variable.name in seen:
                continue
            seen.add(variable.name)
            template = self.templates.get(variable.template)
            if variable.type is VariableSource.TEMPLATE and template is not None and fits(template):
                return True
            ahead += needed_by(variable)
        return False


def _asks(template: Template) -> bool:
    return any(requires(template, api) for api in _ASKING)


class ExportTemplates:
    def __init__(self, export: Export, try_out: Callable[[Template], object]) -> None:
        self._export = export
        self._try_out = try_out
        self.by_name: dict[str, Template] = {}
        self.texts: dict[str, str] = {}
        self.by_word: dict[str, str] = {}  # a part's type → the name of its template
        self.public: set[str] = set()  # the names of unmodified gallery templates
        self._read: dict[str, tuple[str, list[str]]] = {}  # a part's type, and notes
        self._broken: dict[str, str] = {}  # a part's type → why its template cannot be used

    def read(self, report: ImportReport, name_for: Callable[[str, str], str]) -> None:
        for piece in self._export.parts["customTemplate"]:
            words = list(self._words_of(piece))
            name = name_for("template", piece.text("name") or words[0])
            gallery = _gallery(piece)
            notes = unread("customTemplate", piece)
            notes += [
                f"its key 'galleryReference.{key}' is not known to Twite, and is not kept"
                for key in unknown_keys("galleryReference", gallery)
            ]
            try:
                template = read_template(piece.text("templateData").encode())
                self._try_out(template)
            except TemplateUnusable as error:
                self._broken |= dict.fromkeys(words, f"its template {name!r} cannot be used")
                report.left_out("template", name, words[0], str(error))
                continue
            if template.id.startswith("cvt_") and template.id != "cvt_temp_public_id":
                words.append(template.id)
            if words[0] in self.by_word:
                notes.append(f"parts of the type {words[0]} use {self.by_word[words[0]]!r} instead")
            self.by_name[name] = template
            self.texts[name] = piece.text("templateData")
            for word in words:
                self.by_word.setdefault(word, name)
            if gallery and not holds(gallery.get("isModified")):
                self.public.add(name)
            self._read[name] = words[0], [*notes, *_apis_of(template)]
        if any(piece.word == firestore_lookup.WORD for piece in self._export.parts["variable"]):
            name = name_for("template", firestore_lookup.NAME)
            self.by_word[firestore_lookup.WORD] = name
            self.by_name[name] = read_template(firestore_lookup.TEXT.encode())
            self.texts[name] = firestore_lookup.TEXT
            self._read[name] = firestore_lookup.WORD, ["it is Twite's own: it runs the variables"]

    def report(self, report: ImportReport, container: Container) -> None:
        """Report the templates, and which Google services they call for the parts."""
        for name, (word, notes) in self._read.items():
            uses = (part for part in container.templated if part.template == name)
            calls = _calls_to_google(self.by_name[name], uses)
            report.add("template", name, word, notes=[*notes, *calls])

    def named_by(self, word: str, kind: TemplateKind) -> str:
        """Return the name of a part's template, "" if the part has no template. Raises LeftOut."""
        if not word.startswith("cvt_") and word not in self.by_word:
            return ""
        if word in self._broken:
            raise LeftOut(self._broken[word])
        name = self.by_word.get(word)
        if name is None:
            raise LeftOut(f"its template ({word}) is not in the export")
        if self.by_name[name].kind is not kind:
            actual = self.by_name[name].kind.name.lower()
            raise LeftOut(f"its template {name!r} is a {actual} template")
        return name

    def _words_of(self, part: ExportPart) -> Iterator[str]:
        yield f"cvt_{self._export.container_id}_{part.text('templateId')}"
        id_ = _gallery(part).get("galleryTemplateId")
        if isinstance(id_, str):
            yield f"cvt_{id_}"


def _gallery(part: ExportPart) -> dict[str, Tree]:
    found = part.tree.get("galleryReference")
    return found if isinstance(found, dict) else {}


def _apis_of(template: Template) -> Iterator[str]:
    for name, api in APIS.items():
        if api.state is ApiSupport.REFUSED and requires(template, name):
            yield f"it calls {name}, which Twite refuses: {api.note}"


def _calls_to_google(template: Template, parts: Iterable[TemplatedPart]) -> Iterator[str]:
    """Yield a note for each Google service that the fields of a part enable."""
    called = [google_calls(template, part.fields, defaults=part.defaults) for part in parts]
    for name in GOOGLE_SERVICES:
        if any(name in services for services in called):
            yield f"it calls {name}, which needs credentials: [google] in twite.toml"
