import Foundation
import Tensors

func checkMemory(_ c: Check) throws {
    var random = Values(seed: 18)
    let edges: [Float] = [0, -0.0, 1, -1, 65504, 1e9, 6e-8, 2e-8, 6.1035156e-5, -6.1e-5]
    let x = edges + random.normal(501) + random.normal(100, scale: 1e-5)
    let source = try c.tensor([x.count], x, .f32)
    for dtype in [DType.f16, .bf16] {
        let half = try c.tensor([x.count], nil, dtype == .f16 ? .f16 : .bf16)
        c.backend.convert(source.tensor, into: half.tensor)
        let expected = dtype == .f16 ? x.map { Float(Float16($0)) } : x.map(roundedToBF16)
        c.same("f32 to \(dtype)", half.values(), expected)
        let back = try c.tensor([x.count], nil, .f32)
        c.backend.convert(half.tensor, into: back.tensor)
        c.same("\(dtype) to f32", back, expected)
    }
    let values = (0..<1000).map { Float($0) * 0.5 }
    for dtype in [DType.f32, .bf16, .f16] {
        let tensor = try c.backend.upload(HostTensor(shape: [10, 100], values: values), as: dtype)
        let expected = dtype == .bf16 ? values.map(roundedToBF16) : values
        c.same("upload as \(dtype)", c.backend.download(tensor.rows(2..<4).reshaped([200])), Array(expected[200..<400]))
        let copy = try c.tensor([10, 100], nil, dtype)
        c.backend.copy(tensor, into: copy.tensor)
        c.same("copy of \(dtype)", copy, expected)
    }
    // Many pieces of a large upload, an odd one at the end, and another upload at once behind it.
    let uploads = try (1...3).map { turn in
        let large = (0..<9_437_189).map { Float(($0 &* 2_654_435_761 &+ turn) & 0xFFFF) }
        return (large, try c.backend.upload(HostTensor(shape: [large.count], values: large), as: .f32))
    }
    for (index, (large, tensor)) in uploads.enumerated() {
        c.same("large upload \(index)", c.backend.download(tensor), large)
    }
    let filled = try c.tensor([333])
    c.backend.fill(filled.tensor, with: -2.5)
    c.same("fill", filled, [Float](repeating: -2.5, count: 333))
    let ids = HostTensor(shape: [3], dtype: .i32, copying: [1, 0, 0, 0, 2, 0, 0, 0, 255, 255, 255, 255])
    c.same("i32", c.backend.download(try c.backend.upload(ids, as: .i32)), [1, 2, -1])
}

func checkElements(_ c: Check) throws {
    var random = Values(seed: 15)
    for (rows, dim) in [(41, 33), (57, 96), (3, 1536)] {
        let (x, y) = (c.rounded(random.normal(rows * dim)), c.rounded(random.normal(rows * dim)))
        let row = random.normal(dim)
        let (full, single) = (try c.tensor([rows, dim], y), try c.tensor([dim], row, .f32))
        func check(_ what: String, _ run: (Tensor) -> Void, is expected: (Int) -> Double) throws {
            let target = try c.tensor([rows, dim], x)
            run(target.tensor)
            c.compare("\(what) \(rows) x \(dim)", target, x.indices.map(expected), 1e-7)
        }
        try check("add", { c.backend.add(full.tensor, to: $0) }, is: { Double(x[$0]) + Double(y[$0]) })
        try check("add row", { c.backend.add(single.tensor, to: $0) }, is: { Double(x[$0]) + Double(row[$0 % dim]) })
        try check("multiply", { c.backend.multiply($0, by: full.tensor) }, is: { Double(x[$0]) * Double(y[$0]) })
        try check(
            "add gated", { c.backend.addGated(full.tensor, gate: single.tensor, to: $0) },
            is: { Double(x[$0]) + Double(row[$0 % dim]) * Double(y[$0]) })
    }
    let x = c.rounded((0..<2001).map { Float($0 - 1000) * 0.05 } + [-300, 300, 0])
    for (activation, function) in [(Activation.silu, silu), (.geluTanh, gelu)] {
        for dtype in Set([c.type, .f32]) {
            let target = try c.tensor([x.count], x, dtype)
            c.backend.activate(target.tensor, activation)
            c.compare("\(activation) of \(dtype)", target, x.map { function(Double($0)) }, 1e-6)
        }
    }
    let (row, other) = (random.normal(77), random.normal(77))
    let sum = try c.tensor([77], row, .f32)
    c.backend.add(try c.tensor([77], other, .f32).tensor, to: sum.tensor)
    c.same("add of f32", sum, zip(row, other).map { $0 + $1 })

    let table = random.normal(9 * 5).map(roundedToBF16)
    let ids = try c.backend.allocate([4], .i32)
    c.backend.write([8, 0, 3, 3] as [Int32], into: ids)
    let expected = [8, 0, 3, 3].flatMap { table[$0 * 5..<$0 * 5 + 5] }
    for dtype in [DType.f32, .bf16] {
        for target in Set([c.type, .f32]) {
            let output = try c.tensor([4, 5], nil, target)
            c.backend.gather(
                try c.backend.upload(HostTensor(shape: [9, 5], values: table), as: dtype), ids: ids, into: output.tensor
            )
            c.same("gather \(dtype) to \(target)", output, expected)
        }
    }
    let columns = try c.tensor([5, 4], nil, .f32)
    c.backend.gatherColumns(
        try c.tensor([9, 5], table, .f32).tensor, ids: ids, into: columns.tensor)
    c.same("gather columns", columns, (0..<5).flatMap { column in [8, 0, 3, 3].map { table[$0 * 5 + column] } })
}

func checkPermute(_ c: Check) throws {
    let cases: [([Int], [Int])] = [
        ([5], [0]), ([7, 11], [1, 0]), ([3, 4, 5], [0, 1, 2]), ([3, 4, 5], [2, 0, 1]), ([2, 3, 4, 5], [0, 2, 1, 3]),
        ([2, 3, 1, 2, 3, 2, 1, 4], [7, 3, 5, 1, 0, 4, 2, 6]), ([40, 30, 16], [1, 0, 2]),
        ([3, 10, 2, 96], [0, 2, 1, 3]),
    ]
    for (shape, axes) in cases {
        let count = shape.reduce(1, *)
        // Values that bf16 tells apart as far as it can.
        let x = c.rounded((0..<count).map { Float($0 % 251) })
        for dtype in Set([c.type, .f32]) {
            let source = try c.tensor(shape, x, dtype)
            let output = try c.tensor(axes.map { shape[$0] }, nil, dtype)
            c.backend.permute(source.tensor, axes: axes, into: output.tensor)
            var strides = [Int](repeating: 1, count: shape.count)
            for i in (0..<shape.count - 1).reversed() { strides[i] = strides[i + 1] * shape[i + 1] }
            c.same(
                "\(shape) by \(axes), \(dtype)", output,
                (0..<count).map { index in
                    var (rest, offset) = (index, 0)
                    for axis in axes.reversed() {
                        offset += rest % shape[axis] * strides[axis]
                        rest /= shape[axis]
                    }
                    return x[offset]
                })
        }
    }
}

func checkFrames(_ c: Check) throws {
    for (t, h, w, channels) in [(2, 3, 5, 7), (1, 4, 6, 96)] {
        var random = Values(seed: 17)
        let x = c.rounded(random.normal(t * h * w * channels))
        let output = try c.tensor([t, 2 * h, 2 * w, channels])
        c.backend.upsampleNearest(try c.tensor([t, h, w, channels], x).tensor, into: output.tensor)
        c.same(
            "upsample of \(channels) channels", output,
            (0..<t * 2 * h * 2 * w * channels).map { i in
                let (channel, column) = (i % channels, i / channels % (2 * w) / 2)
                let (row, frame) = (i / channels / (2 * w) % (2 * h) / 2, i / channels / (4 * w * h))
                return x[((frame * h + row) * w + column) * channels + channel]
            })
    }
    let x = c.rounded([-2, -1, -0.999, -0.5, 0, 0.003, 0.5, 0.999, 1, 7, .nan, 0.25])
    let bytes = try c.backend.allocate([1, 2, 2, 3], .u8)
    c.backend.quantizeFrames(try c.tensor([1, 2, 2, 3], x).tensor, into: bytes)
    let quantized = x.map { v in v.isNaN ? 0 : ((1 + max(-1, min(1, v))) / 2 * 255 + 0.5).rounded(.down) }
    c.same("frames to bytes", c.backend.downloadBytes(bytes).map(Float.init), quantized)
    // Two copies under way; what is queued after them changes nothing.
    if let first = c.backend.beginDownload(bytes) {
        c.backend.quantizeFrames(try c.tensor([1, 2, 2, 3], x.map { -$0 }).tensor, into: bytes)
        let second = c.backend.beginDownload(bytes)
        c.backend.quantizeFrames(try c.tensor([1, 2, 2, 3], x.map { _ in 0 }).tensor, into: bytes)
        c.same("bytes on their way", first.wait().map(Float.init), quantized)
        c.same(
            "bytes on their way behind others", second?.wait().map(Float.init) ?? [],
            x.map { v in v.isNaN ? 0 : ((1 + max(-1, min(1, -v))) / 2 * 255 + 0.5).rounded(.down) })
    }
}
