import Tensors

/// The sizes of a Wan2.1 VAE, as its tensors tell them.
///
/// Levels of 1, 2, 4 and 4 times the base, two residual blocks a level on the way down and three on the way up; time
/// is halved at the second and third step.
public struct VAELayout: Sendable, Hashable {
    /// Channels of the encoder at full resolution.
    public let encoderDim: Int
    /// Channels of the decoder at full resolution.
    public let decoderDim: Int
    public let latentChannels: Int

    static let multipliers = [1, 2, 4, 4]
    static let residualBlocks = 2
    static let halvesTime = [false, true, true]

    /// - Parameter table: under the names of Wan2.1_VAE.pth.
    init(_ table: TensorTable) throws(CheckpointError) {
        encoderDim = try table.size("encoder.conv1.weight", axis: 0, rank: 5)
        decoderDim = try table.size("decoder.head.2.weight", axis: 1, rank: 5)
        latentChannels = try table.size("conv2.weight", axis: 0, rank: 5)
        for (name, dim) in [
            ("encoder.conv1.weight", encoderDim), ("decoder.head.2.weight", decoderDim),
        ] {
            guard dim <= 1 << 16 else {
                throw table.misfit(table.tensors[name], name, "expected at most 65536 channels")
            }
        }
        _ = try table.check(
            Self.expected(encoderDim: encoderDim, decoderDim: decoderDim, latentChannels: latentChannels))
    }

    /// Every tensor of a VAE of these sizes.
    static func expected(encoderDim: Int, decoderDim: Int, latentChannels z: Int) -> [ExpectedTensor] {
        convolution("conv1", 2 * z, 2 * z, [1, 1, 1]) + convolution("conv2", z, z, [1, 1, 1])
            + encoder(encoderDim, z) + decoder(decoderDim, z)
    }

    /// Source: Wan2.1 wan/modules/vae.py `Encoder3d`.
    private static func encoder(_ base: Int, _ z: Int) -> [ExpectedTensor] {
        let dims = ([1] + multipliers).map { $0 * base }
        var expected = convolution("encoder.conv1", 3, base, [3, 3, 3])
        var module = 0
        for level in multipliers.indices {
            for block in 0..<residualBlocks {
                expected += residual(
                    "encoder.downsamples.\(module)", block == 0 ? dims[level] : dims[level + 1],
                    dims[level + 1])
                module += 1
            }
            guard level < halvesTime.count else { continue }
            let name = "encoder.downsamples.\(module)"
            expected += convolution(name + ".resample.1", dims[level + 1], dims[level + 1], [3, 3])
            if halvesTime[level] {
                expected += convolution(name + ".time_conv", dims[level + 1], dims[level + 1], [3, 1, 1])
            }
            module += 1
        }
        let top = dims[dims.count - 1]
        expected += middle("encoder.middle", top)
        expected.append(.float("encoder.head.0.gamma", [top, 1, 1, 1]))
        return expected + convolution("encoder.head.2", top, 2 * z, [3, 3, 3])
    }

    /// Source: Wan2.1 wan/modules/vae.py `Decoder3d`.
    private static func decoder(_ base: Int, _ z: Int) -> [ExpectedTensor] {
        let dims = ([multipliers[multipliers.count - 1]] + multipliers.reversed()).map { $0 * base }
        let doublesTime = Array(halvesTime.reversed())
        var expected =
            convolution("decoder.conv1", z, dims[0], [3, 3, 3]) + middle("decoder.middle", dims[0])
        var module = 0
        for level in multipliers.indices {
            // Each way up halves the channels.
            let entry = level == 0 ? dims[0] : dims[level] / 2
            let width = dims[level + 1]
            for block in 0...residualBlocks {
                expected += residual("decoder.upsamples.\(module)", block == 0 ? entry : width, width)
                module += 1
            }
            guard level < doublesTime.count else { continue }
            let name = "decoder.upsamples.\(module)"
            expected += convolution(name + ".resample.1", width, width / 2, [3, 3])
            if doublesTime[level] {
                expected += convolution(name + ".time_conv", width, 2 * width, [3, 1, 1])
            }
            module += 1
        }
        expected.append(.float("decoder.head.0.gamma", [base, 1, 1, 1]))
        return expected + convolution("decoder.head.2", base, 3, [3, 3, 3])
    }

    private static func middle(_ name: String, _ dim: Int) -> [ExpectedTensor] {
        residual(name + ".0", dim, dim) + residual(name + ".2", dim, dim)
            + [.float(name + ".1.norm.gamma", [dim, 1, 1])]
            + convolution(name + ".1.to_qkv", dim, 3 * dim, [1, 1])
            + convolution(name + ".1.proj", dim, dim, [1, 1])
    }

    private static func residual(_ name: String, _ input: Int, _ output: Int) -> [ExpectedTensor] {
        [
            .float(name + ".residual.0.gamma", [input, 1, 1, 1]),
            .float(name + ".residual.3.gamma", [output, 1, 1, 1]),
        ]
            + convolution(name + ".residual.2", input, output, [3, 3, 3])
            + convolution(name + ".residual.6", output, output, [3, 3, 3])
            + (input == output ? [] : convolution(name + ".shortcut", input, output, [1, 1, 1]))
    }
}

private func convolution(_ name: String, _ input: Int, _ output: Int, _ kernel: [Int])
    -> [ExpectedTensor]
{
    [.float(name + ".weight", [output, input] + kernel), .float(name + ".bias", [output])]
}

/// The tensors of a Wan2.1 VAE under the names of Wan2.1_VAE.pth, and its sizes.
///
/// Takes those names and the ones of diffusers' `AutoencoderKLWan`.
/// - Throws: `CheckpointError` that says file, tensor, expected and found.
public func canonicalVAE(_ checkpoint: Checkpoint) throws(CheckpointError) -> ModelWeights<
    VAELayout
> {
    let isDiffusers = checkpoint.names.contains {
        $0.hasPrefix("quant_conv.") || $0.hasPrefix("post_quant_conv.")
    }
    let table = try TensorTable(checkpoint) { isDiffusers ? VAENames.fromDiffusers($0) : $0 }
    let layout = try VAELayout(table)
    return ModelWeights(
        path: checkpoint.path, layout: layout, tensors: table.tensors, metadata: checkpoint.metadata)
}

/// diffusers' names of the VAE's parts. Source: diffusers scripts/convert_wan_to_diffusers.py `convert_vae`.
enum VAENames {
    private static let fixed = [
        "quant_conv": "conv1", "post_quant_conv": "conv2",
        "encoder.conv_in": "encoder.conv1", "decoder.conv_in": "decoder.conv1",
        "encoder.conv_out": "encoder.head.2", "decoder.conv_out": "decoder.head.2",
        "encoder.norm_out": "encoder.head.0", "decoder.norm_out": "decoder.head.0",
    ]
    private static let insideResidual = [
        "norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6",
        "conv_shortcut": "shortcut",
    ]
    /// Modules of one level of the decoder: three residual blocks, then the way up.
    private static let decoderLevel = 4

    /// Wan's name for a name of `AutoencoderKLWan`; a name without a counterpart is returned as it is.
    static func fromDiffusers(_ name: String) -> String {
        guard let dot = name.lastIndex(of: ".") else { return name }
        let (module, leaf) = (String(name[..<dot]), String(name[dot...]))
        if let known = fixed[module] { return known + leaf }
        let parts = module.split(separator: ".").map(String.init)
        guard parts.count >= 4, parts[0] == "encoder" || parts[0] == "decoder" else { return name }
        switch (parts[1], parts[2]) {
        case ("mid_block", "attentions") where parts[3] == "0" && parts.count == 5:
            return "\(parts[0]).middle.1.\(parts[4])\(leaf)"
        case ("mid_block", "resnets"):
            guard parts.count == 5, let index = Int(parts[3]), let part = insideResidual[parts[4]] else {
                return name
            }
            return "\(parts[0]).middle.\(2 * index).\(part)\(leaf)"
        case ("down_blocks", let index):
            let rest = parts[3...].joined(separator: ".")
            return "encoder.downsamples.\(index).\(insideResidual[rest] ?? rest)\(leaf)"
        case ("up_blocks", let index):
            guard let level = Int(index), (0..<16).contains(level), parts.count >= 6,
                let block = Int(parts[4]),
                (0..<decoderLevel).contains(block)
            else { return name }
            let rest = parts[5...].joined(separator: ".")
            switch parts[3] {
            case "resnets":
                return
                    "decoder.upsamples.\(decoderLevel * level + block).\(insideResidual[rest] ?? rest)\(leaf)"
            case "upsamplers":
                return "decoder.upsamples.\(decoderLevel * level + decoderLevel - 1).\(rest)\(leaf)"
            default: return name
            }
        default: return name
        }
    }
}
