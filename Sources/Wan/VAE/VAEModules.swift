import Tensors

/// A residual block; the checkpoint's key stands beside each field.
struct VAEResidualBlock: Sendable {
    let inputChannels: Int
    let outputChannels: Int
    let norm1: Tensor  // residual.0.gamma
    let convolution1: any Convolution  // residual.2
    let norm2: Tensor  // residual.3.gamma
    let convolution2: any Convolution  // residual.6
    /// Where the channels change.
    let shortcut: (any Linear)?  // shortcut

    init(_ reader: WeightReader, _ key: String, _ input: Int, _ output: Int) throws {
        inputChannels = input
        outputChannels = output
        norm1 = try reader.vector(key + ".residual.0.gamma", input)
        convolution1 = try reader.convolution(key + ".residual.2", input, output, [3, 3, 3], .same(1))
        norm2 = try reader.vector(key + ".residual.3.gamma", output)
        convolution2 = try reader.convolution(key + ".residual.6", output, output, [3, 3, 3], .same(1))
        shortcut = input == output ? nil : try reader.linear(key + ".shortcut", input, output)
    }

    var byteCount: Int { convolution1.byteCount + convolution2.byteCount + (shortcut?.byteCount ?? 0) }
}

/// Attention over the pixels of one frame, one head.
struct VAEAttention: Sendable {
    let norm: Tensor  // norm.gamma
    let query: any Linear  // to_qkv, first third
    let key: any Linear  // second third
    let value: any Linear  // last third
    let output: any Linear  // proj

    init(_ reader: WeightReader, _ name: String, _ channels: Int) throws {
        norm = try reader.vector(name + ".norm.gamma", channels)
        let weight = try reader.matrix(name + ".to_qkv.weight", channels, 3 * channels)
        let bias = try reader.tensor(name + ".to_qkv.bias", shape: [3 * channels])
        func third(_ index: Int) throws -> any Linear {
            let rows = index * channels..<(index + 1) * channels
            return try reader.backend.makeLinear(
                .dense(weight: weight.copiedRows(rows), bias: bias.copiedRows(rows)), precision: .stored)
        }
        query = try third(0)
        key = try third(1)
        value = try third(2)
        output = try reader.linear(name + ".proj", channels, channels)
    }

    var byteCount: Int { [query, key, value, output].reduce(0) { $0 + $1.byteCount } }
}

/// Residual block, attention, residual block, at the lowest resolution.
struct VAEMiddle: Sendable {
    let first: VAEResidualBlock  // 0
    let attention: VAEAttention  // 1
    let last: VAEResidualBlock  // 2

    init(_ reader: WeightReader, _ key: String, _ channels: Int) throws {
        first = try VAEResidualBlock(reader, key + ".0", channels, channels)
        attention = try VAEAttention(reader, key + ".1", channels)
        last = try VAEResidualBlock(reader, key + ".2", channels, channels)
    }

    var byteCount: Int { first.byteCount + attention.byteCount + last.byteCount }
}

extension WeightReader {
    /// The convolution `key.weight` `[output, input] + kernel` with `key.bias`.
    func convolution(
        _ key: String, _ input: Int, _ output: Int, _ kernel: [Int], _ geometry: ConvolutionGeometry
    ) throws -> any Convolution {
        try backend.makeConvolution(
            weight: tensor(key + ".weight", shape: [output, input] + kernel),
            bias: tensor(key + ".bias", shape: [output]), geometry: geometry)
    }
}
