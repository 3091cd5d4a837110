import Tensors

/// The sizes of a Wan transformer, as its tensors tell them.
public struct TransformerLayout: Sendable, Hashable {
    public enum ModelType: String, Sendable {
        /// Text to video: the network sees the noise alone.
        case t2v
        /// Image to video: noise, four channels of mask and the image's latents.
        case i2v
    }

    public let modelType: ModelType
    public let inputChannels: Int
    public let outputChannels: Int
    public let dim: Int
    /// Heads of 128 values each.
    public let headCount: Int
    public let feedForwardDim: Int
    public let layerCount: Int
    public let textDim: Int
    /// Values of the timestep's sinusoid.
    public let frequencyDim: Int
    /// Whether the layers carry `proj_l`, the linear branch of sparse-linear attention.
    public let hasSparseLinear: Bool
    /// Whether linear layers are stored as `int8_weight` and `scale`.
    public let isQuantized: Bool

    public static let headDim = 128
    /// Latent pixels of a patch: 1 x 2 x 2.
    static let patchSize = 4
    static let maskChannels = 4

    /// - Parameter table: under Wan's names, the patch embedding as a linear layer.
    init(_ table: TensorTable) throws(CheckpointError) {
        let path = table.path
        dim = try table.size("patch_embedding.weight", axis: 0, rank: 2)
        guard dim.isMultiple(of: Self.headDim) else {
            throw table.misfit(
                table.tensors["patch_embedding.weight"], "patch_embedding.weight",
                "expected a multiple of \(Self.headDim) rows, found \(dim)")
        }
        headCount = dim / Self.headDim
        inputChannels = try table.size("patch_embedding.weight", axis: 1, rank: 2) / Self.patchSize
        outputChannels = try table.size("head.head.weight", axis: 0, rank: 2) / Self.patchSize
        switch inputChannels {
        case outputChannels: modelType = .t2v
        case 2 * outputChannels + Self.maskChannels: modelType = .i2v
        default:
            throw CheckpointError(
                code: .unknownModel,
                message:
                    "\(path): \(inputChannels) input channels with \(outputChannels) output channels; expected "
                    + "\(outputChannels) (text to video) or \(2 * outputChannels + Self.maskChannels) (image to video)",
                hint: "variants with control or reference inputs are not supported")
        }
        textDim = try table.size("text_embedding.0.weight", axis: 1, rank: 2)
        frequencyDim = try table.size("time_embedding.0.weight", axis: 1, rank: 2)
        layerCount = try table.layerCount("blocks")
        let feedForward = table.contains("blocks.0.ffn.0.int8_weight") ? "int8_weight" : "weight"
        feedForwardDim = try table.size("blocks.0.ffn.0.\(feedForward)", axis: 0, rank: 2)
        hasSparseLinear = table.contains("blocks.0.\(Self.linearBranch).weight")
        let expected = Self.expected(
            dim: dim, inputs: inputChannels, outputs: outputChannels, feedForward: feedForwardDim,
            layers: layerCount,
            text: textDim, frequency: frequencyDim, sparseLinear: hasSparseLinear)
        isQuantized = try table.check(expected)
    }

    private static let linearBranch = "self_attn.attn_op.local_attn.proj_l"

    /// Source: Wan2.1 wan/modules/model.py `WanModel`; TurboDiffusion `proj_l`.
    static func expected(
        dim: Int, inputs: Int, outputs: Int, feedForward: Int, layers: Int, text: Int, frequency: Int,
        sparseLinear: Bool
    ) -> [ExpectedTensor] {
        func dense(_ name: String, _ input: Int, _ output: Int) -> [ExpectedTensor] {
            [.float(name + ".weight", [output, input]), .float(name + ".bias", [output])]
        }
        var result = dense("patch_embedding", inputs * patchSize, dim)
        result += dense("text_embedding.0", text, dim) + dense("text_embedding.2", dim, dim)
        result += dense("time_embedding.0", frequency, dim) + dense("time_embedding.2", dim, dim)
        result += dense("time_projection.1", dim, 6 * dim)
        result += dense("head.head", dim, outputs * patchSize)
        result.append(.float("head.modulation", [1, 2, dim]))
        for layer in 0..<layers {
            let block = "blocks.\(layer)."
            result.append(.float(block + "modulation", [1, 6, dim]))
            for attention in ["self_attn", "cross_attn"] {
                for projection in ["q", "k", "v", "o"] {
                    result += ExpectedTensor.linear("\(block)\(attention).\(projection)", dim, dim)
                }
                result.append(.float("\(block)\(attention).norm_q.weight", [dim]))
                result.append(.float("\(block)\(attention).norm_k.weight", [dim]))
            }
            result.append(.float(block + "norm3.weight", [dim]))
            result.append(.float(block + "norm3.bias", [dim]))
            result += ExpectedTensor.linear(block + "ffn.0", dim, feedForward)
            result += ExpectedTensor.linear(block + "ffn.2", feedForward, dim)
            if sparseLinear { result += dense(block + linearBranch, headDim, headDim) }
        }
        return result
    }
}

/// The tensors of a Wan transformer under Wan's names, and its sizes.
///
/// Takes Wan's own names (the patch embedding a convolution `[dim, in, 1, 2, 2]`, given as `[dim, in * 4]`),
/// TurboDiffusion's (`net.` before every name, `proj_l`, `int8_weight` and `scale`) and diffusers'.
/// - Throws: `CheckpointError` that says file, tensor, expected and found.
public func canonicalTransformer(
    _ checkpoint: Checkpoint
) throws(CheckpointError) -> ModelWeights<TransformerLayout> {
    let hasPrefix = checkpoint.names.contains { $0.hasPrefix("net.") }
    let isDiffusers = checkpoint.names.contains { $0.hasPrefix("condition_embedder.") }
    var table = try TensorTable(checkpoint) { name in
        if hasPrefix {
            // A training checkpoint holds its averaged and auxiliary networks beside the one to run.
            return name.hasPrefix("net.")
                ? String(name.dropFirst(4)) : name.hasPrefix("net_") ? nil : name
        }
        return isDiffusers ? TransformerNames.fromDiffusers(name) : name
    }
    if let patch = table.tensors["patch_embedding.weight"], patch.shape.count == 5 {
        guard Array(patch.shape[2...]) == [1, 2, 2] else {
            throw table.misfit(
                patch, "patch_embedding.weight", "expected patches of [1, 2, 2], found \(patch.shape)")
        }
        table.replace(
            "patch_embedding.weight", by: patch.reshaped([patch.shape[0], patch.shape[1] * 4]))
    }
    let layout = try TransformerLayout(table)
    return ModelWeights(
        path: checkpoint.path, layout: layout, tensors: table.tensors, metadata: checkpoint.metadata)
}

/// diffusers' names of the transformer's parts.
enum TransformerNames {
    private static let outside = [
        "condition_embedder.text_embedder.linear_1": "text_embedding.0",
        "condition_embedder.text_embedder.linear_2": "text_embedding.2",
        "condition_embedder.time_embedder.linear_1": "time_embedding.0",
        "condition_embedder.time_embedder.linear_2": "time_embedding.2",
        "condition_embedder.time_proj": "time_projection.1",
        "proj_out": "head.head",
    ]

    /// diffusers' `norm2` is Wan's `norm3`: both are the affine norm before the cross-attention.
    private static let insideBlock = [
        "attn1.to_q": "self_attn.q", "attn1.to_k": "self_attn.k", "attn1.to_v": "self_attn.v",
        "attn1.to_out.0": "self_attn.o", "attn1.norm_q": "self_attn.norm_q",
        "attn1.norm_k": "self_attn.norm_k",
        "attn2.to_q": "cross_attn.q", "attn2.to_k": "cross_attn.k", "attn2.to_v": "cross_attn.v",
        "attn2.to_out.0": "cross_attn.o", "attn2.norm_q": "cross_attn.norm_q",
        "attn2.norm_k": "cross_attn.norm_k",
        "norm2": "norm3", "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2",
    ]

    /// Wan's name for a name of `WanTransformer3DModel`; a name without a counterpart is returned as it is.
    static func fromDiffusers(_ name: String) -> String {
        if name == "scale_shift_table" { return "head.modulation" }
        guard let dot = name.lastIndex(of: ".") else { return name }
        let (module, leaf) = (String(name[..<dot]), name[dot...])
        if let known = outside[module] { return known + leaf }
        let parts = module.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.first == "blocks", parts.count >= 2 else { return name }
        let block = "blocks.\(parts[1])"
        if parts.count == 2 { return leaf == ".scale_shift_table" ? block + ".modulation" : name }
        return insideBlock[String(parts[2])].map { "\(block).\($0)\(leaf)" } ?? name
    }
}
