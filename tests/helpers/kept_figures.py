"""The figures that a module of pictures writes, kept to be looked into."""

from gallerist.figures import style as palette


def keep_figures(monkeypatch, module):
    """A list that gets every figure that `module` saves, drawn."""
    kept = []

    def keep(figure, path):
        palette.save(figure, path)
        figure.draw_without_rendering()  # at its own resolution again
        kept.append(figure)

    monkeypatch.setattr(module, "save", keep)
    return kept
