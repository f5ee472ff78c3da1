"""Faults of the compiled code: indices, blocks, buffers, BLAS calls."""

from .fault import Fault

DENSE = "test_kernels.py::test_dense_is_the_reference"
WEIGHTS = "test_kernels.py::test_no_images_have_zero_gradients"
BERNOULLI = "test_kernels.py::test_bernoulli_is_the_reference"
LISTS = "test_kernels.py::test_active_pixels_lists_the_set_pixels"
PIXELS = "test_active_pixels.py::test_a_pixels_images_are_those_where_it_is_active"
MANY = "test_kernels.py::test_active_pixels_of_empty_and_full_images"
ENDS = "test_kernels.py::test_dense_at_the_ends_of_the_line"
FILE = "kernels/dense.py"

ROW = "        total += _list_row(images[rows[i]], columns[total:])\n"

LISTED = (
    Fault(
        "last pixel never active",
        "kernels/active_pixels.py",
        {"for j in range(bits.shape[0]):": "for j in range(bits.shape[0] - 1):"},
        "off by one; MNIST's border is black, which hides it",
        tests=LISTS,
    ),
    Fault(
        "first pixel never active",
        "kernels/active_pixels.py",
        {"for j in range(bits.shape[0]):": "for j in range(1, bits.shape[0]):"},
        "counted from 1; MNIST's border is black, which hides it",
        tests=LISTS,
    ),
    Fault(
        "pixel numbers in a uint8",
        "kernels/active_pixels.py",
        {"np.empty(bits.size + 1, np.int32)": "np.empty(bits.size + 1, np.uint8)"},
        "the images' own dtype: pixel 256 is pixel 0",
        tests=MANY,
    ),
    Fault(
        "last image's list is empty",
        "kernels/active_pixels.py",
        {
            f"{ROW}    starts[rows.shape[0]] = total": (
                f"{ROW}    starts[-1] = starts[-2]"
            )
        },
        "the closing entry of a list of starts",
        tests=LISTS,
    ),
    Fault(
        "last pixel's images not counted",
        "kernels/active_pixels.py",
        {"range(1, image_starts.shape[0])": "range(1, image_starts.shape[0] - 1)"},
        "a running sum that stops one early",
        tests=PIXELS,
    ),
    Fault(
        "last row of the tail lost",
        "kernels/active_pixels.py",
        {"while a < stop:": "while a < stop - 1:"},
        "eight rows a pass, then the rest but one",
        tests=DENSE,
    ),
    Fault(
        "the tail forgotten",
        "kernels/active_pixels.py",
        {"while a < stop:": "while a < 0:"},
        "right whenever the count is a multiple of 8",
        tests=DENSE,
    ),
    Fault(
        "row 7 is row 6",
        "kernels/active_pixels.py",
        {"table[picks[a + 7]]": "table[picks[a + 6]]"},
        "eight copies of a line, one not edited",
        tests=DENSE,
    ),
    Fault(
        "a row in two passes",
        "kernels/active_pixels.py",
        {"a += 8": "a += 7"},
        "the step of an unrolled loop",
        tests=DENSE,
    ),
    Fault(
        "sums added to a stale buffer",
        "kernels/active_pixels.py",
        {"total[:] = 0": "total[:] += 0"},
        "right with a new array of zeros, not with last step's",
        tests=DENSE,
    ),
)

LAYERS = (
    Fault(
        "bias lost in the compiled layer",
        "kernels/dense.py",
        {"    a += b\n": "    a += 0 * b\n"},
        "added in the relu branch only",
        tests=DENSE,
    ),
    Fault(
        "one bias for all units",
        "kernels/dense.py",
        {"    a += b\n": "    a += b[0]\n"},
        "an index that should have been k",
        tests=DENSE,
    ),
    Fault(
        "compiled relu swallows NaN",
        "kernels/dense.py",
        {"zero if a[i, k] <= zero else a[i, k]": "a[i, k] if a[i, k] > zero else zero"},
        "max(a, 0) of a NaN is 0",
        tests="test_kernels.py::test_an_activation_at_the_ends_of_the_line",
    ),
    Fault(
        "compiled relu slope 1 at 0",
        "kernels/dense.py",
        {"if y[i, k] > zero else zero": "if y[i, k] >= zero else zero"},
        "every dead unit let through",
        tests="test_kernels.py::test_an_activation_is_the_reference",
    ),
    Fault(
        "compiled tanh slope without the square",
        "kernels/dense.py",
        {"(one - y[i, k] * y[i, k])": "(one - y[i, k])"},
        "an exponent lost in the kernel",
        tests="test_kernels.py::test_an_activation_is_the_reference",
    ),
    Fault(
        "tanh gets relu's backward",
        "kernels/dense.py",
        {"Kernel(np.tanh, _tanh_backward)": "Kernel(np.tanh, _relu_backward)"},
        "a dispatch the wrong way round",
        tests="test_kernels.py::test_an_activation_is_the_reference",
    ),
    Fault(
        "BLAS product without the transpose",
        FILE,
        {"np.matmul(da, W.T, out=dx)": "np.matmul(da, W, out=dx)"},
        "a TRANS flag; square layers hide it",
        tests=DENSE,
    ),
    Fault(
        "BLAS product the other way round",
        "kernels/dense.py",
        {
            "np.matmul(x.T, da, out=dW)\n    np.add": (
                "np.matmul(da.T, x, out=dW)\n    np.add"
            ),
        },
        "column-major habits; square layers hide it",
        tests=DENSE,
    ),
    Fault(
        "compiled dx past the activation",
        "model/layers.py",
        {
            (
                "conv_backward(da, x, W, WINDOW, out=(dx, dW, db))\n"
                "        return dx.reshape(len(dx), math.prod(self.image))"
            ): (
                "conv_backward(da, x, W, WINDOW, out=(dx, dW, db))\n"
                "        work.code.conv_backward(dy.reshape(da.shape), x, "
                "W, WINDOW, out=(dx, dW.copy(), db.copy()))\n"
                "        return dx.reshape(len(dx), math.prod(self.image))"
            )
        },
        "dW and db are right, so a check of the parameters alone passes",
        seen="input",
        tests="test_layers.py",
    ),
    Fault(
        "dW accumulated",
        "kernels/dense.py",
        {"np.matmul(x.T, da, out=dW)\n    np.add": "dW += x.T @ da\n    np.add"},
        "an autograd's habit, and nobody calls zero_grad",
        tests=DENSE,
    ),
    Fault(
        "compiled db over the wrong axis",
        "kernels/dense.py",
        {
            "np.add.reduce(da, axis=0, out=db)\n    np.matmul": (
                "np.add.reduce(da, axis=1, out=db)\n    np.matmul"
            ),
        },
        "B = M hides it",
        tests=DENSE,
    ),
    Fault(
        "compiled db a mean",
        "kernels/dense.py",
        {
            "np.add.reduce(da, axis=0, out=db)\n    np.matmul": (
                "np.mean(da, axis=0, out=db)\n    np.matmul"
            ),
        },
        "1/B taken twice for b",
        tests=DENSE,
    ),
)

PIXELS = (
    Fault(
        "exp(|l|) for exp(-|l|)",
        "kernels/bernoulli.py",
        {"e[i, j] = -abs(": "e[i, j] = abs("},
        "the trick against overflow, its sign lost",
        tests=BERNOULLI,
    ),
    Fault(
        "one pixel in 64 left out",
        "kernels/bernoulli.py",
        {"min(start + 64, width)": "min(start + 63, width)"},
        "a block's last element; images of 63 pixels hide it",
        tests=BERNOULLI,
    ),
    Fault(
        "product over the whole row",
        "kernels/bernoulli.py",
        {
            "range(0, width, 64)": "range(0, width, 1024)",
            "min(start + 64, width)": "min(start + 1024, width)",
        },
        "784 factors of up to 2: float32 ends at 2^128",
        tests=BERNOULLI,
    ),
    Fault(
        "compiled p is 1 - p",
        "kernels/bernoulli.py",
        {"(one if logit > zero else e)": "(e if logit > zero else one)"},
        "two branches swapped",
        tests=BERNOULLI,
    ),
    Fault(
        "softplus without max(l, 0)",
        "kernels/bernoulli.py",
        {"positive += max(logit, zero)": "positive += zero"},
        "right for every negative logit",
        tests=BERNOULLI,
    ),
    Fault(
        "nll accumulated",
        "kernels/bernoulli.py",
        {"nll[i] = total": "nll[i] += total"},
        "right in an array of zeros",
        tests=BERNOULLI,
    ),
    Fault(
        "first active pixel not subtracted",
        "kernels/bernoulli.py",
        {
            "total = 0.0\n        for a in range(starts[i], starts[i + 1]):": (
                "total = 0.0\n        for a in range(starts[i] + 1, starts[i + 1]):"
            )
        },
        "off by one in a list's range",
        tests=BERNOULLI,
    ),
    Fault(
        "active pixels ignore their upstream",
        "kernels/bernoulli.py",
        {"dlogits[i, columns[a]] -= dnll[i]": "dlogits[i, columns[a]] -= 1"},
        "p - x: the 1/B stands before p alone",
        tests=BERNOULLI,
    ),
    Fault(
        "compiled dlogits = x - p",
        "kernels/bernoulli.py",
        {"np.subtract(p, x, out=dlogits)": "np.subtract(x, p, out=dlogits)"},
        "BLAS-style arguments, out of order",
        tests=BERNOULLI,
    ),
    Fault(
        "compiled dlogits ignores its upstream",
        "kernels/bernoulli.py",
        {"dlogits *= dnll[:, None]": "dlogits *= 1"},
        "1/B lost for grey images",
        tests=BERNOULLI,
    ),
)

FAULTS = LISTED + LAYERS + PIXELS
