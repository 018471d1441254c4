import numpy as np

from vitascope.ops.wells.instances import central, centres_px, counted, is_single_cell


def test_instances_are_centred_on_multiples_of_their_distance_within_the_picture():
    assert centres_px(40, 16).tolist() == [0, 16, 32]
    assert centres_px(48, 16).tolist() == [0, 16, 32]
    assert centres_px(49, 16).tolist() == [0, 16, 32, 48]


def test_an_instance_counts_where_its_centre_does():
    weight = np.zeros((40, 40))
    weight[10:20, 30:] = 0.5
    assert counted(weight, 16).tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_of_a_crop_only_the_cell_in_the_middle_counts():
    assert central((32, 32), 19, 16).tolist() == [[0, 0], [0, 1]]
    wide = central((96, 96), 40, 16)
    assert wide.sum() == sum(np.hypot(y - 47.5, x - 47.5) <= 20 for y in range(0, 96, 16) for x in range(0, 96, 16))
    assert wide[3, 3] == 1
    assert wide[0, 0] == 0


def test_where_no_instance_lies_in_the_cell_the_nearest_counts():
    assert central((40, 40), 4, 32).tolist() == [[0, 0], [0, 1]]


def test_a_crop_of_one_cell_is_told_by_its_size():
    assert is_single_cell((40, 47), 19)
    assert not is_single_cell((40, 48), 19)
    assert not is_single_cell((10, 10), None)
