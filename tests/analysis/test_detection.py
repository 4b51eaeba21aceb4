import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.analysis.detection import Detections, TrueBoxes, average_precisions, frame_map
from kdlib.data.ava import read_boxes

TOY = Path(__file__).parents[2] / "../shared/data/annotations/ava_toy"
LEFT, RIGHT, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (50, 50, 60, 60)


def truth(*rows):
    """Rows of image, box, class."""
    images, boxes, classes = zip(*rows, strict=True)
    return TrueBoxes(np.array(images), np.array(boxes, float), np.array(classes))


def detections(*rows):
    """Rows of image, box, class, score."""
    images, boxes, classes, scores = zip(*rows, strict=True) if rows else ((),) * 4
    return Detections(
        np.array(images),
        np.array(boxes, float).reshape(-1, 4),
        np.array(classes, int),
        np.array(scores, float),
    )


# By hand: average precision of class 1


TWO = truth((0, LEFT, 1), (0, RIGHT, 1))
ONE = truth((0, LEFT, 1))


@pytest.mark.parametrize(
    ("case", "there", "found", "expected"),
    [
        ("perfect", TWO, [(0, LEFT, 1, 0.9), (0, RIGHT, 1, 0.8)], 1),
        ("one missed", TWO, [(0, LEFT, 1, 0.9)], 1 / 2),
        ("a false one first", ONE, [(0, FAR, 1, 0.9), (0, LEFT, 1, 0.8)], 1 / 2),
        ("a false one last", ONE, [(0, LEFT, 1, 0.9), (0, FAR, 1, 0.8)], 1),
        # Right, wrong (a duplicate), right: precisions 1, 1/2, 2/3.
        (
            "a duplicate",
            TWO,
            [(0, LEFT, 1, 0.9), (0, LEFT, 1, 0.8), (0, RIGHT, 1, 0.7)],
            (1 + 2 / 3) / 2,
        ),
        # Wrong, right, right: precisions 0, 1/2, 2/3; at the first right one 2/3 is the best.
        (
            "the envelope of precision",
            TWO,
            [(0, FAR, 1, 0.9), (0, LEFT, 1, 0.8), (0, RIGHT, 1, 0.7)],
            2 / 3,
        ),
        ("equal scores", ONE, [(0, FAR, 1, 0.5), (0, LEFT, 1, 0.5)], 1 / 2),
        ("equal scores, other order", ONE, [(0, LEFT, 1, 0.5), (0, FAR, 1, 0.5)], 1 / 2),
        ("IoU of exactly 0.5", ONE, [(0, (0, 0, 10, 5), 1, 0.9)], 1),
        ("IoU just below", ONE, [(0, (0, 0, 10, 4.999), 1, 0.9)], 0),
        ("no detection", ONE, [], 0),
        ("in another image", ONE, [(1, LEFT, 1, 0.9)], 0),
        ("of another class", ONE, [(0, LEFT, 2, 0.9)], 0),
        ("an image without true boxes", ONE, [(1, LEFT, 1, 0.9), (0, LEFT, 1, 0.8)], 1 / 2),
        ("a detection without an area", ONE, [(0, (5, 5, 5, 9), 1, 0.9), (0, LEFT, 1, 0.8)], 1),
        # The one box of image 1 comes before the second of image 0: right, wrong, right.
        (
            "scores across images",
            truth((0, LEFT, 1), (1, LEFT, 1)),
            [(0, LEFT, 1, 0.9), (1, FAR, 1, 0.8), (1, LEFT, 1, 0.7)],
            (1 + 2 / 3) / 2,
        ),
        # The second detection overlaps the taken box more than the free one: wrong, not moved on.
        (
            "the box overlapped most is taken",
            truth((0, LEFT, 1), (0, (3, 0, 13, 10), 1)),
            [(0, LEFT, 1, 0.9), (0, (1, 0, 11, 10), 1, 0.8)],
            1 / 2,
        ),
        ("logits for scores", ONE, [(0, FAR, 1, -3), (0, LEFT, 1, -2)], 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_average_precision_by_hand(case, there, found, expected):
    result = average_precisions(detections(*found), there)
    assert result == {1: pytest.approx(expected, abs=1e-12)}


def test_several_actors_with_several_labels_each():
    there = truth((0, LEFT, 1), (0, LEFT, 2), (0, RIGHT, 2), (0, FAR, 3), (1, LEFT, 2))
    found = detections(
        *((0, LEFT, 1, 0.3), (0, LEFT, 2, 0.9)),
        *((0, RIGHT, 1, 0.6), (0, RIGHT, 2, 0.8)),
        *((1, LEFT, 1, 0.1), (1, LEFT, 3, 0.9), (0, FAR, 4, 0.9)),
    )
    result = average_precisions(found, there)
    assert result == {1: 1 / 2, 2: pytest.approx(2 / 3), 3: 0}  # 4 has no true box: not judged
    assert frame_map(found, there) == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)


def test_only_evaluated_classes_and_images_count():
    there = truth(("a", LEFT, 1), ("a", LEFT, 2), ("b", LEFT, 1))
    found = detections(("a", LEFT, 1, 0.5), ("b", FAR, 1, 0.9), ("a", FAR, 2, 0.1))
    assert average_precisions(found, there) == {1: 1 / 4, 2: 0}
    assert average_precisions(found, there, classes=[1, 7]) == {1: 1 / 4}
    assert average_precisions(found, there, excluded=["b"]) == {1: 1, 2: 0}
    assert frame_map(found, there, classes={1}, excluded=("b", "c")) == 1


@pytest.mark.parametrize(
    ("found", "there", "options", "message"),
    [
        (detections(), ONE, {"classes": [2]}, "no box of an evaluated class"),
        (detections(), ONE, {"excluded": [0]}, "no box of an evaluated class"),
        (detections(), truth((0, (0, 0, 0, 0), 1)), {}, "truth: every box must have x1 < x2"),
        (detections((0, LEFT, 1, np.nan)), ONE, {}, "detections: NaN"),
        (detections(), truth((0, (0, 0, np.nan, 1), 1)), {}, "truth: NaN"),
        (detections((0, LEFT, 1, 0.5))._replace(scores=np.ones(2)), ONE, {}, "detections: images"),
        (detections(), ONE._replace(boxes=np.ones((1, 5))), {}, r"truth: images .*\(1, 5\)"),
    ],
)
def test_what_cannot_be_judged_is_refused(found, there, options, message):
    with pytest.raises(ValueError, match=message):
        average_precisions(found, there, **options)


# Against plain loops


def reference(found, there):
    """Average precision by class, one detection after the other; scores must differ."""
    result = {}
    for number in sorted(set(there.classes.tolist())):
        boxes = defaultdict(list)
        for image, box, label in zip(*there, strict=True):
            if label == number:
                boxes[image].append(box)
        taken, right, own = set(), [], [r for r in zip(*found, strict=True) if r[2] == number]
        for image, box, _, _ in sorted(own, key=lambda row: -row[3]):
            overlaps = [reference_iou(box, other) for other in boxes[image]]
            best = int(np.argmax(overlaps)) if overlaps else -1
            hit = bool(overlaps) and overlaps[best] >= 0.5 and (image, best) not in taken
            taken |= {(image, best)} if hit else set()
            right.append(hit)
        count = sum(map(len, boxes.values()))
        precision = [sum(right[: i + 1]) / (i + 1) for i in range(len(right))]
        result[number] = sum(max(precision[i:]) / count for i, hit in enumerate(right) if hit)
    return result


def reference_iou(one, other):
    common = 1.0
    for axis in (0, 1):
        low, high = max(one[axis], other[axis]), min(one[axis + 2], other[axis + 2])
        common *= max(high - low, 0)
    first, second = ((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return common / (first + second - common)


SIDES = st.tuples(*(st.integers(0, 3), st.integers(0, 3), st.integers(1, 4), st.integers(1, 4)))
BOXES = SIDES.map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
ROWS = st.tuples(st.integers(0, 2), BOXES, st.integers(1, 2))


@settings(max_examples=150, deadline=None)
@given(
    there=st.lists(ROWS, min_size=1, max_size=9), found=st.lists(ROWS, max_size=14), data=st.data()
)
def test_it_is_the_plain_loops(there, found, data):
    scores = data.draw(st.permutations(range(len(found))))
    found = detections(*((*row, score) for row, score in zip(found, scores, strict=True)))
    result = average_precisions(found, truth(*there))
    assert result == pytest.approx(reference(found, truth(*there)), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    there=st.lists(ROWS, min_size=1, max_size=9, unique=True),
    found=st.lists(st.tuples(ROWS, st.integers(0, 2)), min_size=2, max_size=14),
    data=st.data(),
)
def test_the_order_of_rows_does_not_matter(there, found, data):
    rows = [(*row, score) for row, score in found]
    shuffled = data.draw(st.permutations(rows))
    one, other = (average_precisions(detections(*r), truth(*there)) for r in (rows, shuffled))
    assert one == other


# Against AVA's own evaluation


def toy(name):
    """Rows of a csv of the toy set: film and second, box, action and the last field."""
    path = TOY / "eval_detection" / name
    if not path.is_file():
        pytest.skip(f"no {name} in ../shared/data beside the project")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return [
        (f"{film},{int(second)}", tuple(map(float, box)), int(action), float(last))
        for film, second, *box, action, last in rows
    ]


@pytest.mark.real
def test_the_toy_set_has_the_map_of_the_original_evaluation():
    found = detections(*toy("pred.csv"))
    there = truth(*(row[:3] for row in toy("gt.csv")))
    # 0.09385522 is what mmaction2's tests expect of its copy of that evaluation on these files.
    assert frame_map(found, there) == pytest.approx(0.09385522, abs=5e-9)
    assert average_precisions(found, there) == pytest.approx(reference(found, there))


@pytest.mark.real
def test_true_boxes_found_as_they_are_give_a_map_of_one():
    toy("gt.csv")
    actors = read_boxes(TOY / "eval_detection/gt.csv")
    rows = [
        (f"{film},{second}", row.box, action)
        for (film, second), found in actors.items()
        for row in found
        for action in row.actions
    ]
    scores = np.random.default_rng(0).permutation(len(rows))
    found = detections(*((*row, score) for row, score in zip(rows, scores, strict=True)))
    assert len(rows) == 12
    assert frame_map(found, truth(*rows)) == 1
