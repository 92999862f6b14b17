import pytest

from mainstay import render
from mainstay.errors import InventoryError


@pytest.fixture
def templates(tmp_path, monkeypatch):
    monkeypatch.setattr(render.project, "template_dirs", lambda: [tmp_path])
    render._environment.cache_clear()
    yield tmp_path
    render._environment.cache_clear()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ port }}", "templates/x.j2: found 'port' is undefined, expected a value for every name in the template"),
        (
            "{% if %}",
            "templates/x.j2: line 1: found Expected an expression, got 'end of statement block', expected a template",
        ),
        ("{% include 'gone.j2' %}", "templates/x.j2: found no template gone.j2, expected a file below templates/"),
    ],
)
def test_a_faulty_template_is_one_sentence(templates, text, message):
    (templates / "x.j2").write_text(text)
    with pytest.raises(InventoryError) as error:
        render.render("x.j2")
    assert str(error.value) == message


def test_the_same_values_give_the_same_text(templates):
    (templates / "x.j2").write_text("a {{ b }}\n{% for c in d %}\n{{ c | shell }}\n{% endfor %}\n")
    assert render.render("x.j2", b=1, d=["e f", "g"]) == "a 1\n'e f'\ng\n"
