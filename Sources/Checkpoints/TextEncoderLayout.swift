import Tensors

/// The sizes of a umT5 encoder, as its tensors tell them.
public struct TextEncoderLayout: Sendable, Hashable {
    /// Rows of the embedding; at least as many as the tokenizer has ids.
    public let vocabularySize: Int
    public let dim: Int
    public let headCount: Int
    public let headDim: Int
    public let feedForwardDim: Int
    public let layerCount: Int
    /// Relative position buckets of every layer.
    public let bucketCount: Int

    /// - Parameter table: under Wan's names.
    init(_ table: TensorTable) throws(CheckpointError) {
        vocabularySize = try table.size("token_embedding.weight", axis: 0, rank: 2)
        dim = try table.size("token_embedding.weight", axis: 1, rank: 2)
        layerCount = try table.layerCount("blocks")
        let bias = "blocks.0.pos_embedding.embedding.weight"
        bucketCount = try table.size(bias, axis: 0, rank: 2)
        headCount = try table.size(bias, axis: 1, rank: 2)
        let inner = try table.size("blocks.0.attn.q.weight", axis: 0, rank: 2)
        guard inner.isMultiple(of: headCount) else {
            throw table.misfit(
                table.tensors["blocks.0.attn.q.weight"], "blocks.0.attn.q.weight",
                "expected a multiple of \(headCount) rows, one part for each head, found \(inner)")
        }
        headDim = inner / headCount
        feedForwardDim = try table.size("blocks.0.ffn.fc1.weight", axis: 0, rank: 2)
        _ = try table.check(expected(inner: inner))
    }

    /// Sizes that are known beforehand.
    init(
        vocabularySize: Int, dim: Int, headCount: Int, headDim: Int, feedForwardDim: Int, layerCount: Int,
        bucketCount: Int
    ) {
        (self.vocabularySize, self.dim, self.headCount, self.headDim) = (vocabularySize, dim, headCount, headDim)
        (self.feedForwardDim, self.layerCount, self.bucketCount) = (feedForwardDim, layerCount, bucketCount)
    }

    /// Everything a file must hold; `inner` channels in attention.
    func expected(inner: Int) -> [ExpectedTensor] {
        var expected: [ExpectedTensor] = [
            .float("token_embedding.weight", [vocabularySize, dim]), .float("norm.weight", [dim]),
        ]
        for layer in 0..<layerCount {
            let block = "blocks.\(layer)."
            for name in ["q", "k", "v"] {
                expected.append(.float("\(block)attn.\(name).weight", [inner, dim]))
            }
            expected += [
                .float(block + "attn.o.weight", [dim, inner]),
                .float(block + "norm1.weight", [dim]), .float(block + "norm2.weight", [dim]),
                .float(block + "ffn.gate.0.weight", [feedForwardDim, dim]),
                .float(block + "ffn.fc1.weight", [feedForwardDim, dim]),
                .float(block + "ffn.fc2.weight", [dim, feedForwardDim]),
                .float(block + "pos_embedding.embedding.weight", [bucketCount, headCount]),
            ]
        }
        return expected
    }
}

/// The tensors of a umT5 encoder under Wan's names, and its sizes.
///
/// Takes Wan's names and Hugging Face's; `encoder.embed_tokens.weight`, a second name of the embedding, stands in for
/// `shared.weight` where that is missing. A decoder is refused.
/// - Throws: `CheckpointError` that says file, tensor, expected and found.
public func canonicalTextEncoder(
    _ checkpoint: Checkpoint
) throws(CheckpointError) -> ModelWeights<TextEncoderLayout> {
    let hasShared = checkpoint.names.contains("shared.weight")
    let table = try TensorTable(checkpoint) { name in
        if name == "encoder.embed_tokens.weight" { return hasShared ? nil : "token_embedding.weight" }
        return TextEncoderNames.fromHuggingFace(name)
    }
    let layout = try TextEncoderLayout(table)
    return ModelWeights(
        path: checkpoint.path, layout: layout, tensors: table.tensors, metadata: checkpoint.metadata)
}

/// Hugging Face's names of the encoder's parts.
enum TextEncoderNames {
    private static let insideBlock = [
        "layer.0.layer_norm.weight": "norm1.weight",
        "layer.0.SelfAttention.q.weight": "attn.q.weight",
        "layer.0.SelfAttention.k.weight": "attn.k.weight",
        "layer.0.SelfAttention.v.weight": "attn.v.weight",
        "layer.0.SelfAttention.o.weight": "attn.o.weight",
        "layer.0.SelfAttention.relative_attention_bias.weight": "pos_embedding.embedding.weight",
        "layer.1.layer_norm.weight": "norm2.weight",
        "layer.1.DenseReluDense.wi_0.weight": "ffn.gate.0.weight",
        "layer.1.DenseReluDense.wi_1.weight": "ffn.fc1.weight",
        "layer.1.DenseReluDense.wo.weight": "ffn.fc2.weight",
    ]

    /// Wan's name for a name of `UMT5EncoderModel`; a name without a counterpart is returned as it is.
    static func fromHuggingFace(_ name: String) -> String {
        switch name {
        case "shared.weight": return "token_embedding.weight"
        case "encoder.final_layer_norm.weight": return "norm.weight"
        default:
            let parts = name.split(separator: ".", maxSplits: 3, omittingEmptySubsequences: false)
            guard parts.count == 4, parts[0] == "encoder", parts[1] == "block",
                let inside = insideBlock[String(parts[3])]
            else { return name }
            return "blocks.\(parts[2]).\(inside)"
        }
    }
}
