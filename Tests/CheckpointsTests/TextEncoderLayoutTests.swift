import Foundation
import Tensors
import Testing

@testable import Checkpoints

@Suite struct TextEncoderLayoutTests {
    /// Names of one layer in Wan's and Hugging Face's spelling, and their shapes for dim 8, 2 heads of 3, ffn 10.
    private static let layer: [(wan: String, other: String, shape: [Int])] = [
        ("norm1.weight", "layer.0.layer_norm.weight", [8]),
        ("attn.q.weight", "layer.0.SelfAttention.q.weight", [6, 8]),
        ("attn.k.weight", "layer.0.SelfAttention.k.weight", [6, 8]),
        ("attn.v.weight", "layer.0.SelfAttention.v.weight", [6, 8]),
        ("attn.o.weight", "layer.0.SelfAttention.o.weight", [8, 6]),
        ("norm2.weight", "layer.1.layer_norm.weight", [8]),
        ("ffn.gate.0.weight", "layer.1.DenseReluDense.wi_0.weight", [10, 8]),
        ("ffn.fc1.weight", "layer.1.DenseReluDense.wi_1.weight", [10, 8]),
        ("ffn.fc2.weight", "layer.1.DenseReluDense.wo.weight", [8, 10]),
        ("pos_embedding.embedding.weight", "layer.0.SelfAttention.relative_attention_bias.weight", [32, 2]),
    ]

    private func open(_ entries: [(String, [Int])]) throws -> Checkpoint {
        let folder = try TemporaryFolder()
        let path = folder.path("encoder.safetensors")
        try SafetensorsWriter.write(
            entries.enumerated().map { index, entry in
                HostTensor(
                    name: entry.0, shape: entry.1, values: [Float](repeating: Float(index), count: entry.1.reduce(1, *))
                )
            }, to: path)
        return try Checkpoint.open(path)
    }

    private func names(_ wan: Bool) -> [(String, [Int])] {
        [(wan ? "token_embedding.weight" : "shared.weight", [50, 8])]
            + (0..<2).flatMap { layer in
                Self.layer.map { (wan ? "blocks.\(layer).\($0.wan)" : "encoder.block.\(layer).\($0.other)", $0.shape) }
            } + [(wan ? "norm.weight" : "encoder.final_layer_norm.weight", [8])]
    }

    @Test func bothNamingsAreOneModel() throws {
        let wan = try canonicalTextEncoder(open(names(true)))
        let other = try canonicalTextEncoder(open(names(false)))
        #expect(wan.layout == other.layout)
        #expect(Set(wan.tensors.keys) == Set(other.tensors.keys))
        for (name, tensor) in wan.tensors { #expect(other.tensors[name]?.floats() == tensor.floats(), "\(name)") }
        let layout = wan.layout
        #expect([layout.vocabularySize, layout.dim, layout.headCount, layout.headDim] as [Int] == [50, 8, 2, 3])
        #expect([layout.feedForwardDim, layout.layerCount, layout.bucketCount] as [Int] == [10, 2, 32])
    }

    @Test func theSecondNameOfTheEmbeddingIsUnderstood() throws {
        let both = names(false) + [("encoder.embed_tokens.weight", [50, 8])]
        #expect(try canonicalTextEncoder(open(both)).tensors["token_embedding.weight"]?.floats().first == 0)
        #expect(try canonicalTextEncoder(open(Array(both.dropFirst()))).layout.vocabularySize == 50)
    }

    @Test func aDecoderOrAMissingBiasIsRefused() throws {
        let decoder = try open(names(false) + [("decoder.block.0.layer.0.layer_norm.weight", [8])])
        #expect(throws: CheckpointError.self) { try canonicalTextEncoder(decoder) }
        let shared = try open(names(true).filter { $0.0 != "blocks.1.pos_embedding.embedding.weight" })
        let error = #expect(throws: CheckpointError.self) { try canonicalTextEncoder(shared) }
        #expect(error?.message.contains("blocks.1.pos_embedding.embedding.weight") == true)
    }
}
