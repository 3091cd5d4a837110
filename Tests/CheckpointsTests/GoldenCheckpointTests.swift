import Foundation
import Tensors
import Testing

@testable import Checkpoints

@Suite struct GoldenCheckpointTests {
    @Test func everyViewOfThePickleHasItsValues() throws {
        let found = try Checkpoint.open(golden("pickle_views.pth"))
        let expected = try Checkpoint.open(golden("pickle_views_expected.safetensors"))
        #expect(Set(found.names) == Set(expected.names))
        #expect(found.names.count == 15)
        for name in expected.names {
            let want = try expected.require(name)
            let tensor = try found.require(name, shape: want.shape, dtypes: [want.dtype])
            #expect(content(tensor) == content(want), "\(name)")
        }
    }

    @Test(arguments: ["sharded", "sharded/diffusion_pytorch_model.safetensors.index.json"])
    func shardsReadAsOne(_ path: String) throws {
        let checkpoint = try Checkpoint.open(golden(path))
        #expect(checkpoint.names.count == 42)
        #expect(checkpoint.layout("patch_embedding.weight")?.shape == [128, 16, 1, 2, 2])
        let model = try canonicalTransformer(checkpoint)
        #expect(model.tensors["patch_embedding.weight"]?.shape == [128, 64])
        #expect(!model.layout.isQuantized && !model.layout.hasSparseLinear)
    }

    @Test func quantisedTransformerIsRecognised() throws {
        let model = try canonicalTransformer(Checkpoint.open(golden("turbo_quant.pth")))
        let layout = model.layout
        #expect(layout.isQuantized && layout.hasSparseLinear && layout.modelType == .t2v)
        #expect(
            [layout.inputChannels, layout.outputChannels, layout.dim, layout.headCount] as [Int] == [16, 16, 128, 1])
        #expect(
            [layout.feedForwardDim, layout.layerCount, layout.textDim, layout.frequencyDim] as [Int] == [
                384, 1, 32, 256,
            ])
        #expect(model.tensors["blocks.0.ffn.0.int8_weight"]?.dtype == .i8)
        #expect(model.tensors["blocks.0.ffn.0.scale"]?.shape == [3, 1])
        #expect(model.tensors["blocks.0.norm3.weight"]?.dtype == .f32)
        #expect(model.tensors["blocks.0.self_attn.attn_op.local_attn.proj_l.weight"]?.shape == [128, 128])
    }

    @Test func bothContainersHoldTheSameUnquantisedValues() throws {
        let quantised = try canonicalTransformer(Checkpoint.open(golden("turbo_quant.pth"))).tensors
        let sharded = try canonicalTransformer(Checkpoint.open(golden("sharded"))).tensors
        var compared = 0
        for (name, tensor) in sharded {
            guard let other = quantised[name] else { continue }
            #expect(other.floats() == tensor.floats(), "\(name)")
            compared += 1
        }
        #expect(compared == 32)
    }

    /// The map of `cases.json`, applied to the golden file, gives the file diffusers would write.
    @Test func diffusersNamesMapBack() throws {
        let cases = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: golden("cases.json"))))
        let map = try #require((cases as? [String: Any])?["name_map_wan_to_diffusers"] as? [String: String])
        let wan = try Checkpoint.open(golden("sharded"))
        #expect(Set(map.keys) == Set(wan.names))
        let folder = try TemporaryFolder()
        let path = folder.path("diffusers.safetensors")
        try SafetensorsWriter.write(wan.names.map { wan.tensor($0)!.renamed(map[$0]!) }, to: path)
        let expected = try canonicalTransformer(wan)
        let found = try canonicalTransformer(Checkpoint.open(path))
        #expect(found.layout == expected.layout)
        #expect(Set(found.tensors.keys) == Set(expected.tensors.keys))
        for (name, tensor) in expected.tensors {
            #expect(found.tensors[name]?.shape == tensor.shape)
            #expect(try content(#require(found.tensors[name])) == content(tensor), "\(name)")
        }
    }

    /// The names of `vae_names.json`, under which diffusers' `AutoencoderKLWan` reads the golden VAE and gives its
    /// golden latents and frames.
    @Test func diffusersNamesOfTheVAEMapBack() throws {
        let file = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: golden("vae_names.json"))))
        let map = try #require((file as? [String: Any])?["wan_to_diffusers"] as? [String: String])
        let wan = try Checkpoint.open(golden("../vae/vae_weights.safetensors"))
        #expect(Set(map.keys) == Set(wan.names))
        #expect(Set(map.values).count == map.count)
        let folder = try TemporaryFolder()
        let path = folder.path("diffusers.safetensors")
        try SafetensorsWriter.write(wan.names.map { wan.tensor($0)!.renamed(map[$0]!) }, to: path)
        let expected = try canonicalVAE(wan)
        let found = try canonicalVAE(Checkpoint.open(path))
        #expect(found.layout == expected.layout)
        #expect(Set(found.tensors.keys) == Set(expected.tensors.keys))
        for (name, tensor) in expected.tensors {
            #expect(try content(#require(found.tensors[name])) == content(tensor), "\(name)")
        }
    }

    @Test func prefixedTrainingNamesAreStripped() throws {
        let wan = try Checkpoint.open(golden("sharded"))
        let folder = try TemporaryFolder()
        let path = folder.path("prefixed.safetensors")
        let averaged = HostTensor(name: "net_ema.head.head.bias", shape: [1], values: [0])
        try SafetensorsWriter.write(wan.names.map { wan.tensor($0)!.renamed("net." + $0) } + [averaged], to: path)
        #expect(try canonicalTransformer(Checkpoint.open(path)).layout == canonicalTransformer(wan).layout)
    }
}
