"""From where a killed run goes on, wherever the kill came."""

import pytest

from proactive_env.recipes.training.grpo.folder import Folder

STEPS = 6


def saved(out, latest, *states):
    """A run's folder with whole weights for these states; `latest`: what DeepSpeed says of them, None: nothing yet."""
    for step in states:
        (out / f"checkpoints/_actor/global_step{step}").mkdir(parents=True)
        (out / f"checkpoints/global_step{step}_hf").mkdir()
        (out / f"checkpoints/global_step{step}_hf/tokenizer_config.json").touch()
    if latest is not None:
        (out / "checkpoints/_actor/latest").write_text(latest)
    return Folder(out)


@pytest.mark.parametrize(
    ("latest", "states", "step"),
    [
        pytest.param(None, (), 0, id="before any state"),
        pytest.param(None, (2,), 0, id="during the first"),
        pytest.param("global_step2", (2,), 2, id="after it"),
        pytest.param("global_step2", (2, 4), 2, id="during the next"),
        pytest.param("", (2,), 2, id="while the first is named"),
        pytest.param("", (2, 4, 10), 10, id="while a later one is named"),
        pytest.param("global_step10", (8, 10), 10, id="numbers, not letters"),
    ],
)
def test_a_killed_run_goes_on_from_its_newest_whole_state(tmp_path, latest, states, step):
    folder = saved(tmp_path, latest, *states)
    assert folder.resumes_from == step
    assert folder.go_back(12) == step
    assert folder.resumes_from == step
    left = sorted(state.name for state in tmp_path.glob("checkpoints/_actor/global_step*"))
    assert left == sorted(f"global_step{one}" for one in states if one <= step and step)
    if step:  # what DeepSpeed will read
        assert (tmp_path / "checkpoints/_actor/latest").read_text() == f"global_step{step}"


@pytest.mark.parametrize("latest", [f"global_step{STEPS}", ""])
def test_a_last_state_without_weights_is_trained_again(tmp_path, latest):
    folder = saved(tmp_path, latest, 4, STEPS)
    (tmp_path / f"checkpoints/global_step{STEPS}_hf/tokenizer_config.json").unlink()
    assert folder.go_back(STEPS) == 4
    assert folder.resumes_from == 4
    assert not (tmp_path / f"checkpoints/_actor/global_step{STEPS}").exists()
