"""Dialogues as notebooks show them."""

from builders import episode, gold, transcript


def test_a_transcript_is_a_table_of_what_was_said_beside_what_was_due():
    said = transcript(episode(gold(1, 3, "A <b>red</b> circle."), question_id="q&a"), {2: "<script>"}, turns=4)
    shown = said._repr_html_()
    assert shown.count("<tr>") == 5
    assert "<th>q&amp;a</th>" in shown
    assert "<td>2.0 s</td><td>&lt;script&gt;</td><td>A &lt;b&gt;red&lt;/b&gt; circle.</td>" in shown
    assert "<td>4.0 s</td><td></td><td></td>" in shown
    assert "<script>" not in shown
