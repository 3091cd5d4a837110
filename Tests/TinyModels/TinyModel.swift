import Checkpoints
import Foundation
import Generation
import Tensors
import TestSupport

/// A complete model of random weights, small enough to run in a moment.
public enum TinyModel {
    public static let name = "Tiny"
    public static let textDim = 16
    /// At least as many as tokenizer `b` of the golden values has.
    public static let vocabularySize = 1304

    /// Writes the model's folder inside `folder`.
    /// - Parameter layers: blocks of each network and of the text encoder.
    @discardableResult
    public static func write(in folder: URL, sparse: Bool = true, layers: Int = 1) throws -> URL {
        let model = folder.appending(path: "tiny")
        try FileManager.default.createDirectory(at: model, withIntermediateDirectories: true)
        func save(_ file: String, _ seed: UInt64, _ fill: (inout Weights) -> Void) throws {
            var weights = Weights(seed: seed)
            fill(&weights)
            try SafetensorsWriter.write(weights.tensors, to: model.appending(path: file).path)
        }
        try save("t2v.safetensors", 1) {
            $0.addTransformer(inputChannels: 16, textDim: textDim, sparse: sparse, layers: layers)
        }
        try save("high.safetensors", 2) {
            $0.addTransformer(inputChannels: 36, textDim: textDim, sparse: sparse, layers: layers)
        }
        try save("low.safetensors", 3) {
            $0.addTransformer(inputChannels: 36, textDim: textDim, sparse: sparse, layers: layers)
        }
        try save("vae.safetensors", 4) { $0.addVAE(dim: 2) }
        try save("text.safetensors", 5) { $0.addTextEncoder(dim: textDim, vocabulary: vocabularySize, layers: layers) }
        let tokenizer = model.appending(path: "tokenizer")
        try FileManager.default.createDirectory(at: tokenizer, withIntermediateDirectories: true)
        try FileManager.default.copyItem(
            at: goldenFolder.appending(path: "tokenizer/b/spiece.model"), to: tokenizer.appending(path: "spiece.model"))
        try Data(manifest.utf8).write(to: model.appending(path: ModelManifest.fileName))
        return model
    }

    public static let manifest = """
        {"name": "Tiny", "version": "1", "modes": {"t2v": {"transformer": "t2v.safetensors"},
         "i2v": {"high_noise": "high.safetensors", "low_noise": "low.safetensors"}}, "vae": "vae.safetensors",
         "text_encoder": "text.safetensors", "tokenizer": "tokenizer",
         "resolutions": {"48p": {"16:9": [64, 48], "1:1": [48, 48]}},
         "frames": {"default": 9, "minimum": 5, "maximum": 17}, "defaults": {"attention": "sla", "sla_topk": 0.5}}
        """
}

/// Named random tensors under Wan's names.
public struct Weights {
    public private(set) var tensors: [HostTensor] = []
    private var random: SplitMix

    public init(seed: UInt64) { random = SplitMix(seed) }

    public mutating func add(_ name: String, _ shape: [Int], fan: Int = 1, mean: Float = 0, scale: Float = 1) {
        let values = random.values(shape.reduce(1, *), scale: scale * 1.7 / Float(fan).squareRoot()).map { $0 + mean }
        tensors.append(HostTensor(shape: shape, values: values).renamed(name))
    }

    private mutating func linear(_ name: String, _ input: Int, _ output: Int) {
        add(name + ".weight", [output, input], fan: input)
        add(name + ".bias", [output], scale: 0.1)
    }

    public mutating func addTransformer(inputChannels: Int, textDim: Int, sparse: Bool, layers: Int = 1) {
        let dim = 128
        linear("patch_embedding", inputChannels * 4, dim)
        linear("text_embedding.0", textDim, dim)
        linear("text_embedding.2", dim, dim)
        linear("time_embedding.0", 32, dim)
        linear("time_embedding.2", dim, dim)
        linear("time_projection.1", dim, 6 * dim)
        linear("head.head", dim, 64)
        add("head.modulation", [1, 2, dim], scale: 0.3)
        for layer in 0..<layers {
            let block = "blocks.\(layer)."
            add(block + "modulation", [1, 6, dim], scale: 0.3)
            for attention in ["self_attn", "cross_attn"] {
                for projection in ["q", "k", "v", "o"] { linear("\(block)\(attention).\(projection)", dim, dim) }
                add("\(block)\(attention).norm_q.weight", [dim], mean: 1, scale: 0.1)
                add("\(block)\(attention).norm_k.weight", [dim], mean: 1, scale: 0.1)
            }
            if sparse { linear(block + "self_attn.attn_op.local_attn.proj_l", 128, 128) }
            add(block + "norm3.weight", [dim], mean: 1, scale: 0.1)
            add(block + "norm3.bias", [dim], scale: 0.1)
            linear(block + "ffn.0", dim, 48)
            linear(block + "ffn.2", 48, dim)
        }
    }

    public mutating func addTextEncoder(dim: Int, vocabulary: Int, layers: Int = 1) {
        add("token_embedding.weight", [vocabulary, dim])
        add("norm.weight", [dim], mean: 1, scale: 0.1)
        for layer in 0..<layers {
            let block = "blocks.\(layer)."
            for name in ["q", "k", "v", "o"] { add(block + "attn.\(name).weight", [dim, dim], fan: dim) }
            add(block + "norm1.weight", [dim], mean: 1, scale: 0.1)
            add(block + "norm2.weight", [dim], mean: 1, scale: 0.1)
            add(block + "ffn.gate.0.weight", [24, dim], fan: dim)
            add(block + "ffn.fc1.weight", [24, dim], fan: dim)
            add(block + "ffn.fc2.weight", [dim, 24], fan: 24)
            add(block + "pos_embedding.embedding.weight", [32, 2])
        }
    }

    private mutating func convolution(_ name: String, _ input: Int, _ output: Int, _ kernel: [Int]) {
        add(name + ".weight", [output, input] + kernel, fan: input * kernel.reduce(1, *))
        add(name + ".bias", [output], scale: 0.1)
    }

    private mutating func residual(_ name: String, _ input: Int, _ output: Int) {
        add(name + ".residual.0.gamma", [input, 1, 1, 1], mean: 1, scale: 0.1)
        convolution(name + ".residual.2", input, output, [3, 3, 3])
        add(name + ".residual.3.gamma", [output, 1, 1, 1], mean: 1, scale: 0.1)
        convolution(name + ".residual.6", output, output, [3, 3, 3])
        if input != output { convolution(name + ".shortcut", input, output, [1, 1, 1]) }
    }

    private mutating func middle(_ name: String, _ dim: Int) {
        residual(name + ".0", dim, dim)
        residual(name + ".2", dim, dim)
        add(name + ".1.norm.gamma", [dim, 1, 1], mean: 1, scale: 0.1)
        convolution(name + ".1.to_qkv", dim, 3 * dim, [1, 1])
        convolution(name + ".1.proj", dim, dim, [1, 1])
    }

    public mutating func addVAE(dim: Int) {
        let multipliers = [1, 2, 4, 4]
        let halves = [false, true, true]
        var dims = ([1] + multipliers).map { $0 * dim }
        convolution("encoder.conv1", 3, dim, [3, 3, 3])
        var module = 0
        for level in 0..<4 {
            for block in 0..<2 {
                residual("encoder.downsamples.\(module)", block == 0 ? dims[level] : dims[level + 1], dims[level + 1])
                module += 1
            }
            guard level < 3 else { continue }
            let name = "encoder.downsamples.\(module)"
            convolution(name + ".resample.1", dims[level + 1], dims[level + 1], [3, 3])
            if halves[level] { convolution(name + ".time_conv", dims[level + 1], dims[level + 1], [3, 1, 1]) }
            module += 1
        }
        middle("encoder.middle", dims[4])
        add("encoder.head.0.gamma", [dims[4], 1, 1, 1], mean: 1, scale: 0.1)
        convolution("encoder.head.2", dims[4], 32, [3, 3, 3])
        convolution("conv1", 32, 32, [1, 1, 1])
        convolution("conv2", 16, 16, [1, 1, 1])
        dims = ([4] + multipliers.reversed()).map { $0 * dim }
        convolution("decoder.conv1", 16, dims[0], [3, 3, 3])
        middle("decoder.middle", dims[0])
        module = 0
        for level in 0..<4 {
            let entry = level == 0 ? dims[0] : dims[level] / 2
            for block in 0..<3 {
                residual("decoder.upsamples.\(module)", block == 0 ? entry : dims[level + 1], dims[level + 1])
                module += 1
            }
            guard level < 3 else { continue }
            let name = "decoder.upsamples.\(module)"
            convolution(name + ".resample.1", dims[level + 1], dims[level + 1] / 2, [3, 3])
            if halves[2 - level] { convolution(name + ".time_conv", dims[level + 1], 2 * dims[level + 1], [3, 1, 1]) }
            module += 1
        }
        add("decoder.head.0.gamma", [dims[4], 1, 1, 1], mean: 1, scale: 0.1)
        convolution("decoder.head.2", dims[4], 3, [3, 3, 3])
    }
}
