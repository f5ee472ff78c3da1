"""Faults of convolution: sizes, windows, frames, channels, in both codes."""

from .fault import Fault

ORACLE = "test_conv.py::test_conv_forward_is_the_oracle"
TWIN = "test_conv.py::test_compiled_is_the_reference"
PARTS = "test_layers.py::test_a_batch_in_parts_is_the_batch"
SIZES = "test_conv.py::test_output_padding_names_the_sizes_of_one_map"
NETWORK = "test_layers.py::test_a_networks_gradients_are_the_slopes"
LAYER = "test_layers.py::test_a_layers_gradients_are_the_slopes"
BOUNDS = "test_layers.py::test_initial_values_fill_the_bounds_of_each_layers_fan_in"
TABLES = "test_layers.py::test_the_tables_of_both_networks"
REFERENCE, COMPILED = "pairs/conv.py", "kernels/conv.py"

FAULTS = (
    Fault(
        "map a row too small",
        REFERENCE,
        {"(H + 2 * padding - K) // stride + 1": "(H + 2 * padding - K) // stride"},
        "the + 1 of a count of windows",
        tests=ORACLE,
    ),
    Fault(
        "padding on one side counted",
        REFERENCE,
        {"(H + 2 * padding - K) //": "(H + padding - K) //"},
        "one frame, two sides",
        tests=ORACLE,
    ),
    Fault(
        "width taken for the height",
        REFERENCE,
        {"j : j + V * stride": "j : j + H * stride"},
        "square images hide it",
        tests=ORACLE,
    ),
    Fault(
        "convolution for correlation",
        REFERENCE,
        {"yield i, j, np.s_[": "yield K - 1 - i, K - 1 - j, np.s_["},
        "the kernel flipped, in every direction: the gradients agree",
        tests=ORACLE,
    ),
    Fault(
        "kernel transposed forward",
        REFERENCE,
        {"x[met] @ W[i, j]": "x[met] @ W[j, i]"},
        "rows and columns of the kernel",
    ),
    Fault(
        "kernel entry not transposed",
        REFERENCE,
        {"y @ W[i, j].T": "y @ W[i, j]"},
        "channels and maps; C = M hides it",
    ),
    Fault(
        "overlaps overwritten",
        REFERENCE,
        {"x[met] += y @": "x[met] = y @"},
        "right for a kernel no larger than the stride",
    ),
    Fault(
        "image's corner for its middle",
        REFERENCE,
        {"x[:, padding : padding + H, padding : padding + V]": "x[:, :H, :V]"},
        "the frame cut off at the wrong end",
    ),
    Fault(
        "edge repeated around the image",
        REFERENCE,
        {"(padding, padding), (0, 0)))": '(padding, padding), (0, 0)), mode="edge")'},
        "padding_mode; MNIST's border is black, which hides it",
        tests=ORACLE,
    ),
    Fault(
        "conv db a mean over pixels",
        "pairs/conv.py",
        {
            "*window), da.sum(axis=(0, 1, 2))": (
                "*window), da.mean(axis=(1, 2)).sum(axis=0)"
            ),
        },
        "a map's pixels counted once",
        tests=NETWORK,
    ),
    Fault(
        "transposed dx past the activation",
        "model/layers.py",
        {
            "conv_transpose_backward(da, x, W, WINDOW, out=(dx, dW, db))": (
                "conv_transpose_backward(da, x, W, WINDOW, out=(dx, dW, db))\n"
                "        dy = dy.reshape(da.shape)\n"
                "        dx, _, _ = work.code.conv_transpose_backward(dy, x, W, WINDOW)"
            )
        },
        "dW and db are right, so a check of the parameters alone passes",
        seen="input",
        tests="test_layers.py",
    ),
    Fault(
        "output padding forgotten",
        "pairs/conv.py",
        {
            "transpose_size(n, len(W), *window, output_padding)": (
                "transpose_size(n, len(W), *window, 0)"
            ),
        },
        "28, 14, 7 and back need none; 7, 3 and back do",
    ),
    Fault(
        "output padding counted twice",
        REFERENCE,
        {
            "(H - 1) * stride + K + output_padding": (
                "(H - 1) * stride + K + 2 * output_padding"
            )
        },
        "on both sides, as padding is",
        tests=SIZES,
    ),
    Fault(
        "windows a pixel apart",
        COMPILED,
        {
            "# K pixels side by side\n    step = stride * (run // K)": (
                "# K pixels side by side\n    step = stride"
            )
        },
        "a step in pixels, not in numbers; one channel hides it",
        tests=TWIN,
    ),
    Fault(
        "windows do not add up",
        COMPILED,
        {"met[k] += row[k]": "met[k] = row[k]"},
        "the last window wins",
        tests=TWIN,
    ),
    Fault(
        "frame of the last part not cleared",
        COMPILED,
        {"        frame[...] = 0\n": ""},
        "zeros at first, and a small batch is one part",
        tests=TWIN,
    ),
    Fault(
        "dW of the last part alone",
        COMPILED,
        {"W += (_rows(windows).T": "W[...] = (_rows(windows).T"},
        "a small batch is one part",
        tests=TWIN,
    ),
    Fault(
        "dW of a convolution accumulated",
        COMPILED,
        {"    W[...] = 0\n": ""},
        "right in an array of zeros",
        tests=TWIN,
    ),
    Fault(
        "last short part lost",
        COMPILED,
        {"for start in range(0, B, n):": "for start in range(0, B - n + 1, n):"},
        "whole parts only",
        tests=PARTS,
    ),
    Fault(
        "compiled conv db a mean over pixels",
        COMPILED,
        {
            "np.matmul(np.ones(len(rows), rows.dtype), rows, out=db)": (
                "np.mean(rows, axis=0, out=db)"
            )
        },
        "1/B taken twice for b, and 1/(H V) with it",
        tests=TWIN,
    ),
    Fault(
        "compiled output padding forgotten",
        "kernels/conv.py",
        {
            "transpose_size(n, len(W), *window, output_padding)": (
                "transpose_size(n, len(W), *window, 0)"
            ),
        },
        "a layer that brings its own array hides it",
        tests=TWIN,
    ),
    Fault(
        "images column by column",
        "model/layers.py",
        {
            "        images = x.reshape(len(x), *self.image)\n": (
                "        H, V, C = self.image\n"
                "        images = x.reshape(len(x), V, H, C).swapaxes(1, 2)\n"
            )
        },
        "as MATLAB stores them; dx is a picture of itself, transposed",
        tests="test_layers.py::test_a_convolution_by_hand",
    ),
    Fault(
        "maps before pixels",
        "model/layers.py",
        {
            "a = a.reshape(len(a), math.prod(self.output()))": (
                "a = a.transpose(0, 3, 1, 2).reshape(len(a), -1)"
            ),
        },
        "NCHW for the dense layer, NHWC on the way back",
        tests=NETWORK,
    ),
    Fault(
        "no output padding for odd images",
        "model/layers.py",
        {"        return height\n": "        return 0\n"},
        "the decoder's image a pixel short",
        tests=LAYER,
    ),
    Fault(
        "image of odd width refused to nobody",
        "model/layers.py",
        {"if height != width:": "if False:"},
        "6 by 9 pixels: the width's padding taken from the height",
    ),
    Fault(
        "fan-in of the transpose counts all entries",
        "model/layers.py",
        {"self.maps[2] * (KERNEL / WINDOW.stride) ** 2": "self.maps[2] * KERNEL**2"},
        "a pixel meets one in four",
        tests=BOUNDS,
    ),
    Fault(
        "fan-in without channels",
        "model/layers.py",
        {"return KERNEL * KERNEL * self.image[2]": "return KERNEL * KERNEL"},
        "the first layer has one, which hides it",
        tests=BOUNDS,
    ),
    Fault(
        "maps share a buffer",
        "model/layers.py",
        {
            "work.arrays[self.name, (len(x), *self.output())": (
                'work.arrays["maps", (len(x), *self.output())'
            ),
        },
        "the second convolution overwrites what it read",
        seen="stale",
        tests="test_layers.py::test_a_workspace_gives_the_bits_of_fresh_arrays",
    ),
    Fault(
        "image through the activation",
        "model/networks.py",
        {"IDENTITY if first else f)": "f)"},
        "every layer alike: logits can't be negative",
        tests=TABLES,
    ),
    Fault(
        "no activation before the maps",
        "model/networks.py",
        {", f, last=f)]": ", f)]"},
        "two linear layers in a row",
        tests=TABLES,
    ),
)
