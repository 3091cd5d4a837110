import Tensors

/// One level of the encoder: residual blocks and the way down to the next.
struct EncoderLevel: Sendable {
    /// The module path of each block and of the resampling, `encoder.downsamples.N`.
    let names: [String]
    let blocks: [VAEResidualBlock]
    let downsample: (any Convolution)?  // resample.1
    let timeConvolution: (any Convolution)?  // time_conv
    let outputChannels: Int
}

struct EncoderWeights: Sendable {
    let input: any Convolution  // encoder.conv1
    let levels: [EncoderLevel]
    let middle: VAEMiddle  // encoder.middle
    let headNorm: Tensor  // encoder.head.0.gamma
    let head: any Convolution  // encoder.head.2
    /// The mean's half of the distribution's parameters; the variance's is never needed.
    let mean: any Linear  // conv1, first half of the rows

    init(_ reader: WeightReader, _ configuration: VAEConfiguration) throws {
        let dims = configuration.encoderDims
        let latent = configuration.latentChannels
        input = try reader.convolution("encoder.conv1", 3, dims[0], [3, 3, 3], .same(1))
        var levels: [EncoderLevel] = []
        var module = 0
        func nextName() -> String {
            defer { module += 1 }
            return "encoder.downsamples.\(module)"
        }
        for level in 0..<configuration.levelCount {
            var channels = dims[level]
            var names: [String] = []
            var blocks: [VAEResidualBlock] = []
            for _ in 0..<configuration.residualBlocks {
                names.append(nextName())
                blocks.append(try VAEResidualBlock(reader, names[names.count - 1], channels, dims[level + 1]))
                channels = dims[level + 1]
            }
            var downsample: (any Convolution)?
            var timeConvolution: (any Convolution)?
            if level < configuration.halvesTime.count {
                names.append(nextName())
                let name = names[names.count - 1]
                downsample = try reader.convolution(
                    name + ".resample.1", channels, channels, [3, 3],
                    ConvolutionGeometry(strideH: 2, strideW: 2, padBottom: 1, padRight: 1))
                if configuration.halvesTime[level] {
                    timeConvolution = try reader.convolution(
                        name + ".time_conv", channels, channels, [3, 1, 1], ConvolutionGeometry(strideT: 2))
                }
            }
            levels.append(
                EncoderLevel(
                    names: names, blocks: blocks, downsample: downsample, timeConvolution: timeConvolution,
                    outputChannels: channels))
        }
        self.levels = levels
        middle = try VAEMiddle(reader, "encoder.middle", dims[dims.count - 1])
        headNorm = try reader.vector("encoder.head.0.gamma", dims[dims.count - 1])
        head = try reader.convolution("encoder.head.2", dims[dims.count - 1], 2 * latent, [3, 3, 3], .same(1))
        let weight = try reader.matrix("conv1.weight", 2 * latent, 2 * latent)
        let bias = try reader.tensor("conv1.bias", shape: [2 * latent])
        mean = try reader.backend.makeLinear(
            .dense(weight: weight.copiedRows(0..<latent), bias: bias.copiedRows(0..<latent)), precision: .stored)
    }

    var byteCount: Int {
        input.byteCount + middle.byteCount + head.byteCount + mean.byteCount
            + levels.reduce(0) { sum, level in
                sum + level.blocks.reduce(0) { $0 + $1.byteCount } + (level.downsample?.byteCount ?? 0)
                    + (level.timeConvolution?.byteCount ?? 0)
            }
    }
}

/// One level of the decoder: residual blocks and the way up to the next.
struct DecoderLevel: Sendable {
    /// The module path of each block and of the resampling, `decoder.upsamples.N`.
    let names: [String]
    let blocks: [VAEResidualBlock]
    let upsample: (any Convolution)?  // resample.1
    let timeConvolution: (any Convolution)?  // time_conv
    let inputChannels: Int
    let outputChannels: Int
}

struct DecoderWeights: Sendable {
    let latent: any Linear  // conv2
    let input: any Convolution  // decoder.conv1
    let middle: VAEMiddle  // decoder.middle
    let levels: [DecoderLevel]
    let headNorm: Tensor  // decoder.head.0.gamma
    let head: any Convolution  // decoder.head.2

    init(_ reader: WeightReader, _ configuration: VAEConfiguration) throws {
        let dims = configuration.decoderDims
        let doublesTime = Array(configuration.halvesTime.reversed())
        let channels = configuration.latentChannels
        latent = try reader.linear("conv2", channels, channels)
        input = try reader.convolution("decoder.conv1", channels, dims[0], [3, 3, 3], .same(1))
        middle = try VAEMiddle(reader, "decoder.middle", dims[0])
        var levels: [DecoderLevel] = []
        var module = 0
        func nextName() -> String {
            defer { module += 1 }
            return "decoder.upsamples.\(module)"
        }
        for level in 0..<configuration.levelCount {
            // The way up halves the channels.
            let entry = level == 0 ? dims[0] : dims[level] / 2
            let width = dims[level + 1]
            var names: [String] = []
            var blocks: [VAEResidualBlock] = []
            for index in 0...configuration.residualBlocks {
                names.append(nextName())
                blocks.append(
                    try VAEResidualBlock(reader, names[names.count - 1], index == 0 ? entry : width, width))
            }
            var upsample: (any Convolution)?
            var timeConvolution: (any Convolution)?
            if level < doublesTime.count {
                names.append(nextName())
                let name = names[names.count - 1]
                upsample = try reader.convolution(name + ".resample.1", width, width / 2, [3, 3], .same(1))
                if doublesTime[level] {
                    timeConvolution = try reader.convolution(
                        name + ".time_conv", width, 2 * width, [3, 1, 1], ConvolutionGeometry())
                }
            }
            levels.append(
                DecoderLevel(
                    names: names, blocks: blocks, upsample: upsample, timeConvolution: timeConvolution,
                    inputChannels: entry, outputChannels: width))
        }
        self.levels = levels
        headNorm = try reader.vector("decoder.head.0.gamma", dims[dims.count - 1])
        head = try reader.convolution("decoder.head.2", dims[dims.count - 1], 3, [3, 3, 3], .same(1))
    }

    var byteCount: Int {
        latent.byteCount + input.byteCount + middle.byteCount + head.byteCount
            + levels.reduce(0) { sum, level in
                sum + level.blocks.reduce(0) { $0 + $1.byteCount } + (level.upsample?.byteCount ?? 0)
                    + (level.timeConvolution?.byteCount ?? 0)
            }
    }
}
