from pywire.ids import EPOCH_FIRST, GENERATION_FIRST, next_epoch, next_generation


def test_generations_and_epochs_only_grow():
    assert next_generation(GENERATION_FIRST) > GENERATION_FIRST
    assert next_epoch(EPOCH_FIRST) > EPOCH_FIRST
