import Tensors

struct ConvolutionCase: Sendable {
    var kernel = (3, 3, 3)
    var channels = (5, 7)
    var size = (3, 7, 9)
    var history = 0
    var zeros = 0
    var geometry = ConvolutionGeometry.same(1)
    var text: String { "\(kernel) \(channels) \(size) history \(history) zeros \(zeros)" }

    var output: (Int, Int, Int) {
        let g = geometry
        return (
            (zeros + history + size.0 - kernel.0) / g.strideT + 1,
            (size.1 + g.padTop + g.padBottom - kernel.1) / g.strideH + 1,
            (size.2 + g.padLeft + g.padRight - kernel.2) / g.strideW + 1
        )
    }

    static let all = [
        Self(zeros: 2), Self(channels: (16, 16), history: 2),
        Self(channels: (24, 12), size: (1, 5, 35), history: 1, zeros: 1),
        Self(channels: (3, 33), size: (5, 4, 4), zeros: 2), Self(channels: (19, 3), size: (2, 11, 13), history: 2),
        Self(kernel: (1, 3, 3), channels: (8, 40), size: (2, 10, 6)),
        Self(
            kernel: (1, 3, 3), channels: (6, 9), size: (2, 8, 11),
            geometry: .init(strideH: 2, strideW: 2, padBottom: 1, padRight: 1)),
        Self(
            kernel: (1, 3, 3), channels: (32, 100), size: (2, 9, 12),
            geometry: .init(strideH: 2, strideW: 2, padBottom: 1, padRight: 1)),
        Self(kernel: (3, 1, 1), channels: (11, 10), size: (4, 3, 5), history: 1, geometry: .init(strideT: 2)),
        Self(kernel: (3, 1, 1), channels: (96, 96), size: (4, 3, 5), history: 1, geometry: .init(strideT: 2)),
        Self(kernel: (3, 1, 1), channels: (12, 24), size: (3, 3, 5), history: 0, zeros: 2, geometry: .init()),
        Self(kernel: (3, 1, 1), channels: (4, 8), size: (2, 2, 2), history: 2, geometry: .init()),
        Self(kernel: (1, 1, 1), channels: (17, 50), size: (2, 3, 7), geometry: .init()),
        Self(kernel: (1, 1, 1), channels: (1, 1), size: (1, 1, 1), geometry: .init()),
        Self(kernel: (1, 1, 1), channels: (64, 8), size: (1, 40, 3), geometry: .init(strideH: 3, strideW: 2)),
        Self(
            kernel: (2, 2, 4), channels: (3, 5), size: (3, 6, 8), zeros: 1, geometry: .init(padLeft: 3, padRight: 2)),
        Self(channels: (96, 96), size: (2, 11, 13), history: 2), Self(channels: (96, 3), size: (2, 9, 10), zeros: 2),
        Self(channels: (40, 192), size: (1, 6, 5), zeros: 2),
        // Past the edges of tiles of 16 x 16 or 16 x 8 pixels; all widths of what is computed and read at once.
        Self(channels: (96, 192), size: (1, 2, 17), zeros: 2), Self(channels: (64, 96), size: (1, 3, 18), history: 2),
        Self(kernel: (1, 3, 3), channels: (128, 192), size: (1, 2, 17)),
        Self(channels: (64, 8), size: (1, 18, 17), history: 1, zeros: 1),
        Self(channels: (32, 384), size: (1, 9, 17), zeros: 2), Self(channels: (64, 96), size: (3, 33, 17), history: 2),
        Self(kernel: (1, 3, 3), channels: (32, 192), size: (5, 9, 33)),
        Self(channels: (48, 64), size: (1, 9, 17), zeros: 2), Self(channels: (48, 100), size: (1, 2, 17), history: 2),
    ]

    func reference(
        _ x: [Float], _ past: [Float], _ w: [Float], _ bias: [Float], _ residual: [Float], at wanted: [Int]? = nil
    ) -> [Double] {
        let (outT, outH, outW) = output
        let (cin, cout) = channels
        let g = geometry
        let (frames, weights) = (doubles(past) + doubles(x), doubles(w))
        let taps = kernel.0 * kernel.1 * kernel.2
        return (wanted ?? Array(0..<outT * outH * outW * cout)).map { index in
            let (o, ox) = (index % cout, index / cout % outW)
            let (oy, ot) = (index / cout / outW % outH, index / cout / outW / outH)
            var sum = Double(bias[o]) + Double(residual[index])
            for tap in 0..<taps {
                let t = ot * g.strideT + tap / (kernel.1 * kernel.2) - zeros
                let iy = oy * g.strideH + tap / kernel.2 % kernel.1 - g.padTop
                let ix = ox * g.strideW + tap % kernel.2 - g.padLeft
                guard t >= 0, iy >= 0, iy < size.1, ix >= 0, ix < size.2 else { continue }
                let start = ((t * size.1 + iy) * size.2 + ix) * cin
                for i in 0..<cin { sum += weights[(o * cin + i) * taps + tap] * frames[start + i] }
            }
            return sum
        }
    }
}

func checkConvolution(_ c: Check) throws {
    for item in ConvolutionCase.all {
        var random = Values(seed: 13)
        let (cin, cout) = item.channels
        let plane = item.size.1 * item.size.2 * cin
        let x = c.rounded(random.normal(item.size.0 * plane))
        let past = c.rounded(random.normal(item.history * plane))
        let weight = c.rounded(random.normal(cout * cin * item.kernel.0 * item.kernel.1 * item.kernel.2))
        let bias = random.normal(cout)
        let shape = [item.output.0, item.output.1, item.output.2, cout]
        let residual = c.rounded(random.normal(shape.reduce(1, *)))
        let zeros = [Float](repeating: 0, count: residual.count)
        let weights = HostTensor(
            shape: [cout, cin, item.kernel.0, item.kernel.1, item.kernel.2], values: weight)
        let input = try c.tensor([item.size.0, item.size.1, item.size.2, cin], x)
        let history =
            item.history > 0 ? try c.tensor([item.history, item.size.1, item.size.2, cin], past) : nil
        for isPlain in [false, true] {
            let layer = try c.backend.makeConvolution(
                weight: weights, bias: isPlain ? nil : HostTensor(shape: [cout], values: bias), geometry: item.geometry)
            let output = try c.tensor(shape)
            c.backend.convolve(
                input.tensor, layer, history: history?.tensor,
                residual: isPlain ? nil : try c.tensor(shape, residual).tensor, into: output.tensor)
            c.compare(
                item.text + (isPlain ? ", no bias, no residual" : ""), output,
                isPlain
                    ? item.reference(x, past, weight, [Float](repeating: 0, count: cout), zeros)
                    : item.reference(x, past, weight, bias, residual), 2e-6)
        }
    }
    var random = Values(seed: 14)
    let (x, weight) = (c.rounded(random.normal(100)), c.rounded(random.normal(6 * 4 * 9)))
    let layer = try c.backend.makeConvolution(
        weight: HostTensor(shape: [6, 4, 3, 3], values: weight), bias: nil, geometry: .same(1))
    let output = try c.tensor([1, 5, 5, 6])
    c.backend.convolve(try c.tensor([1, 5, 5, 4], x).tensor, layer, history: nil, residual: nil, into: output.tensor)
    let zeros = [Float](repeating: 0, count: 150)
    let item = ConvolutionCase(kernel: (1, 3, 3), channels: (4, 6), size: (1, 5, 5))
    c.compare("a weight of four dimensions", output, item.reference(x, [], weight, zeros, zeros), 2e-6)
}

/// Several frames of a picture large enough for the ways that films take: some values against the reference, and the last
/// frame against the same convolved alone, bit for bit.
func checkConvolutionOfFrames(_ c: Check) throws {
    let (height, width, cin, cout) = (62, 143, 32, 384)
    let plane = height * width * cin
    var random = Values(seed: 15)
    let weight = c.rounded(random.normal(cout * cin * 27))
    let weights = HostTensor(shape: [cout, cin, 3, 3, 3], values: weight)
    let bias = random.normal(cout)
    for (frames, zeros) in [(1, 0), (2, 0), (3, 1), (4, 0), (5, 2)] {
        let item = ConvolutionCase(
            channels: (cin, cout), size: (frames, height, width), history: 2 - zeros, zeros: zeros)
        let (x, past) = (c.rounded(random.normal(frames * plane)), c.rounded(random.normal((2 - zeros) * plane)))
        let shape = [frames, height, width, cout]
        let added = c.rounded(random.normal(shape.reduce(1, *)))
        let input = try c.tensor([frames, height, width, cin], x)
        let history = zeros == 2 ? nil : try c.tensor([2 - zeros, height, width, cin], past)
        let residual = try c.tensor(shape, added)
        // The edges of tiles, and places in between.
        let wanted = (0..<1500).map { n in
            let corner = [0, 7, 8, 15, 16, height - 1, width - 1, 31, 56, 128]
            let (y, left) = (corner[n % 10] % height, n % 3 == 0 ? corner[n / 10 % 10] : n * 37 % width)
            return ((n % frames * height + y) * width + left) * cout + n * 29 % cout
        }
        let layer = try c.backend.makeConvolution(
            weight: weights, bias: HostTensor(shape: [cout], values: bias), geometry: .same(1))
        let output = try c.tensor(shape)
        c.backend.convolve(
            input.tensor, layer, history: history?.tensor, residual: residual.tensor, into: output.tensor)
        let values = output.values()
        let text = "\(frames) frames of \(height) x \(width)"
        c.compare(
            text, wanted.map { values[$0] }, edgesAreWhole: output.edgesAreWhole,
            item.reference(x, past, weight, bias, added, at: wanted), 2e-6, bf16: 4e-3)
        guard frames > 2 else { continue }
        let alone = try c.tensor([1, height, width, cout])
        c.backend.convolve(
            input.tensor.rows(frames - 1..<frames), layer, history: input.tensor.rows(frames - 3..<frames - 1),
            residual: residual.tensor.rows(frames - 1..<frames), into: alone.tensor)
        c.same(text + ", the last alone", alone, Array(values[((frames - 1) * values.count / frames)...]))
    }
}
