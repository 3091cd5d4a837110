import Foundation
import Tensors
import Testing

@testable import Checkpoints

/// A file that almost fits must say which tensor, what was expected and what was found.
@Suite struct ModelLayoutTests {
    /// A transformer of two layers in zeros.
    private func transformer(layers: Int = 2, inputs: Int = 36) -> [String: HostTensor] {
        var tensors: [String: HostTensor] = [:]
        func add(_ name: String, _ shape: [Int]) {
            tensors[name] = HostTensor(
                name: name, shape: shape, dtype: .bf16, copying: [UInt8](repeating: 0, count: 2 * shape.reduce(1, *)))
        }
        func linear(_ name: String, _ input: Int, _ output: Int) {
            add(name + ".weight", [output, input])
            add(name + ".bias", [output])
        }
        linear("patch_embedding", inputs * 4, 128)
        linear("text_embedding.0", 24, 128)
        linear("text_embedding.2", 128, 128)
        linear("time_embedding.0", 256, 128)
        linear("time_embedding.2", 128, 128)
        linear("time_projection.1", 128, 768)
        linear("head.head", 128, 64)
        add("head.modulation", [1, 2, 128])
        for layer in 0..<layers {
            let block = "blocks.\(layer)"
            add(block + ".modulation", [1, 6, 128])
            for attention in ["self_attn", "cross_attn"] {
                for part in ["q", "k", "v", "o"] { linear("\(block).\(attention).\(part)", 128, 128) }
                add("\(block).\(attention).norm_q.weight", [128])
                add("\(block).\(attention).norm_k.weight", [128])
            }
            add(block + ".norm3.weight", [128])
            add(block + ".norm3.bias", [128])
            linear(block + ".ffn.0", 128, 200)
            linear(block + ".ffn.2", 200, 128)
        }
        return tensors
    }

    private func layout(_ tensors: [String: HostTensor]) throws -> TransformerLayout {
        let folder = try TemporaryFolder()
        let path = folder.path("model.safetensors")
        try SafetensorsWriter.write(tensors.sorted { $0.key < $1.key }.map(\.value), to: path)
        return try canonicalTransformer(Checkpoint.open(path)).layout
    }

    private func tensor(_ name: String, _ shape: [Int], _ dtype: DType = .f32) -> HostTensor {
        HostTensor(
            name: name, shape: shape, dtype: dtype,
            copying: [UInt8](repeating: 0, count: shape.reduce(1, *) * dtype.byteCount))
    }

    @Test func sizesAreReadFromTheTensors() throws {
        let layout = try layout(transformer())
        #expect(layout.modelType == .i2v)
        #expect(
            [layout.inputChannels, layout.layerCount, layout.feedForwardDim, layout.textDim] as [Int] == [
                36, 2, 200, 24,
            ])
        #expect(try self.layout(transformer(layers: 1, inputs: 16)).modelType == .t2v)
    }

    @Test func misfitsNameTensorExpectedAndFound() {
        func refusal(_ code: CheckpointError.Code, _ parts: [String], _ change: (inout [String: HostTensor]) -> Void) {
            var tensors = transformer()
            change(&tensors)
            let error = #expect(throws: CheckpointError.self) { try layout(tensors) }
            #expect(error?.code == code)
            for part in parts + ["model.safetensors"] {
                #expect(error?.message.contains(part) == true, "\(part) in \(error?.message ?? "")")
            }
        }
        refusal(.missingTensor, ["blocks.1.ffn.0.bias", "[200]"]) { $0["blocks.1.ffn.0.bias"] = nil }
        refusal(.missingTensor, ["patch_embedding.weight"]) { $0["patch_embedding.weight"] = nil }
        refusal(.shapeMismatch, ["blocks.1.ffn.0.weight", "[200, 128]", "[201, 128]"]) {
            $0["blocks.1.ffn.0.weight"] = tensor("blocks.1.ffn.0.weight", [201, 128])
        }
        refusal(.shapeMismatch, ["head.head.weight", "[64, 128]", "[65, 128]"]) {
            $0["head.head.weight"] = tensor("head.head.weight", [65, 128])
        }
        refusal(.typeMismatch, ["blocks.0.norm3.weight", "f32 or f16 or bf16", "i32"]) {
            $0["blocks.0.norm3.weight"] = tensor("blocks.0.norm3.weight", [128], .i32)
        }
        refusal(.unexpectedTensor, ["blocks.0.self_attn.extra"]) {
            $0["blocks.0.self_attn.extra"] = tensor("blocks.0.self_attn.extra", [1])
        }
        refusal(.unexpectedTensor, ["blocks.x.modulation"]) {
            $0["blocks.x.modulation"] = tensor("blocks.x.modulation", [1])
        }
        refusal(.missingTensor, ["blocks.2", "blocks.3"]) {
            $0["blocks.3.modulation"] = tensor("blocks.3.modulation", [1, 6, 128])
        }
        refusal(.unknownModel, ["48 input channels", "36"]) {
            $0["patch_embedding.weight"] = tensor("patch_embedding.weight", [128, 192])
        }
        refusal(.shapeMismatch, ["patch_embedding.weight", "[1, 2, 2]"]) {
            $0["patch_embedding.weight"] = tensor("patch_embedding.weight", [128, 36, 2, 2, 1])
        }
        refusal(.shapeMismatch, ["multiple of 128", "130"]) {
            $0["patch_embedding.weight"] = tensor("patch_embedding.weight", [130, 144])
        }
        refusal(.missingTensor, ["blocks.0.ffn.2.scale", "[1, 2]"]) {
            $0["blocks.0.ffn.2.weight"] = nil
            $0["blocks.0.ffn.2.int8_weight"] = tensor("blocks.0.ffn.2.int8_weight", [128, 200], .i8)
        }
        refusal(.missingTensor, ["blocks.1.self_attn.attn_op.local_attn.proj_l.weight"]) {
            for part in ["weight", "bias"] {
                let name = "blocks.0.self_attn.attn_op.local_attn.proj_l.\(part)"
                $0[name] = tensor(name, part == "bias" ? [128] : [128, 128])
            }
        }
    }

    @Test func requireSaysExpectedAndFound() throws {
        let checkpoint = try Checkpoint.open(golden("pickle_views.pth"))
        let shape = #expect(throws: CheckpointError.self) { try checkpoint.require("view_offset", shape: [3, 8]) }
        #expect(shape?.message.contains("\"view_offset\": expected shape [3, 8], found [3, 7]") == true)
        let type = #expect(throws: CheckpointError.self) { try checkpoint.require("i8", dtypes: [.f32, .bf16]) }
        #expect(type?.message.contains("expected f32 or bf16, found i8") == true)
        let missing = #expect(throws: CheckpointError.self) { try checkpoint.require("nothing") }
        #expect(missing?.code == .missingTensor)
    }
}
