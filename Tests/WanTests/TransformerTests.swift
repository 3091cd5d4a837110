import CPUBackend
import Checkpoints
import Sampling
import Tensors
import TestSupport
import Testing
import TinyModels

@testable import Wan

struct TransformerTests {
    private let backend = CountingBackend()
    private let transformer: Transformer
    private let geometry = LatentGeometry(latentFrames: 2, latentHeight: 4, latentWidth: 10)

    init() throws {
        var weights = Weights(seed: 11)
        weights.addTransformer(inputChannels: 16, textDim: 12, sparse: true)
        let scratch = try ScratchFolder()
        let file = scratch.url.appending(path: "t2v.safetensors").path
        try SafetensorsWriter.write(weights.tensors, to: file)
        transformer = try Transformer(canonicalTransformer(Checkpoint.open(file)), backend: backend)
    }

    private func values(_ count: Int, _ seed: UInt64) -> [Float] {
        var random = SplitMix(seed)
        return random.values(count, scale: 1.7)
    }

    private func velocity(_ text: TextContext, _ attention: AttentionKind = .dense) throws -> [Float] {
        try transformer.velocity(
            latents: values(geometry.latentCount, 1), timestep: 852, text: text, attention: attention,
            workspace: transformer.makeWorkspace(geometry))
    }

    /// One padding row that counts for all of them is the softmax over all of them.
    @Test(arguments: [0, 1, 7, 510, 511, 512]) func mergedPaddingChangesNothing(rows: Int) throws {
        let text = TextConditioning(rows: values(rows * 12, 2), textDim: 12)
        let merged = try transformer.prepare(text)
        let whole = try TextContext(text, transformer, mergesPadding: false)
        #expect(merged.embedded.shape[0] == min(rows + 1, 512))
        #expect(whole.embedded.shape[0] == 512)
        let (a, b) = (try velocity(merged), try velocity(whole))
        for (x, y) in zip(a, b) { #expect(abs(x - y) <= 2e-5 * max(1, abs(y))) }
    }

    @Test func trailingZeroRowsAreNoText() {
        let rows = values(5 * 4, 3) + [Float](repeating: 0, count: 3 * 4)
        #expect(TextConditioning(rows: rows, textDim: 4).rowCount == 5)
        #expect(TextConditioning(rows: [Float](repeating: 0, count: 8), textDim: 4).rowCount == 0)
    }

    @Test func memoryIsKnownAndNothingIsAllocatedPerStep() throws {
        var workspace: TransformerWorkspace?
        var text: TextContext?
        let bytes = try backend.bytes {
            workspace = try transformer.makeWorkspace(geometry)
            text = try transformer.prepare(TextConditioning(rows: values(9 * 12, 2), textDim: 12))
        }
        let formula = Transformer.workspaceBytes(
            configuration: transformer.configuration, geometry: geometry, textRows: 9, activation: .f32)
        #expect(bytes <= formula && Double(bytes) > 0.95 * Double(formula))
        let perStep = try backend.bytes {
            for step in 0..<2 {
                _ = try transformer.velocity(
                    latents: values(geometry.latentCount, UInt64(step)), timestep: 500, text: #require(text),
                    attention: .dense, workspace: #require(workspace))
            }
        }
        #expect(perStep == 0)
    }

    @Test func feedForwardRowsDoNotMatter() throws {
        // More tokens than fit the feed-forward's rows at once, and not a multiple of them.
        let large = LatentGeometry(latentFrames: 3, latentHeight: 22, latentWidth: 18)
        let text = try transformer.prepare(TextConditioning(rows: values(12, 2), textDim: 12))
        let latents = values(large.latentCount, 5)
        let workspace = try transformer.makeWorkspace(large)
        let once = try transformer.velocity(
            latents: latents, timestep: 700, text: text, attention: .dense, workspace: workspace)
        // A workspace that was used for other latents and another timestep before gives the same.
        _ = try transformer.velocity(
            latents: values(large.latentCount, 6), timestep: 20, text: text, attention: .dense, workspace: workspace)
        let again = try transformer.velocity(
            latents: latents, timestep: 700, text: text, attention: .dense, workspace: workspace)
        #expect(once == again)
    }

    /// With every block chosen the sparse part is dense; the two kinds then differ by the linear branch alone.
    @Test func sparseAttentionNeedsItsProjection() throws {
        #expect(transformer.supportsSparseAttention)
        let text = try transformer.prepare(TextConditioning(rows: values(12, 2), textDim: 12))
        let dense = try velocity(text)
        let sparse = try velocity(text, .sparseLinear(SparseAttentionOptions(topK: 1)))
        #expect(dense != sparse && sparse.allSatisfy(\.isFinite))
    }

    @Test func observerEndsThePass() throws {
        struct Stop: Error {}
        let text = try transformer.prepare(TextConditioning(rows: [], textDim: 12))
        var stages: [TransformerStage] = []
        #expect(throws: Stop.self) {
            _ = try transformer.velocity(
                latents: values(geometry.latentCount, 1), timestep: 852, text: text, attention: .dense,
                workspace: transformer.makeWorkspace(geometry)
            ) { stage, _ in
                stages.append(stage)
                if stage == .block(0) { throw Stop() }
            }
        }
        #expect(stages.last == .block(0))
        #expect(!stages.contains(.head))
    }

    @Test func patchesGoInByChannelAndComeOutByPosition() throws {
        let geometry = LatentGeometry(latentFrames: 1, latentHeight: 2, latentWidth: 4)
        let latents: [Float] = (0..<128).map { Float($0) }
        let planes = try backend.allocate([16, 8], .f32)
        backend.write(latents, into: planes)
        let packed = try backend.allocate([2, 64], .f32)
        Patches.pack(planes, geometry: geometry, into: packed, backend)
        let tokens = backend.download(packed)
        // Second token, channel 1: rows 0 and 1, columns 2 and 3.
        let second: [Float] = Array(tokens[68..<72])
        #expect(second == [10, 11, 14, 15])
        var shuffled = tokens
        for token in 0..<2 {
            for channel in 0..<16 {
                for place in 0..<4 {
                    shuffled[token * 64 + place * 16 + channel] = tokens[token * 64 + channel * 4 + place]
                }
            }
        }
        backend.write(shuffled, into: packed)
        Patches.unpack(packed, geometry: geometry, into: planes, backend)
        #expect(backend.download(planes) == latents)
    }

    @Test func errorsNameFileTensorAndShapes() throws {
        let reader = WeightReader(
            ["a.weight": HostTensor(shape: [3, 4], values: [Float](repeating: 0, count: 12))], backend: backend,
            source: "x.safetensors")
        let wrong = #expect(throws: WanError.self) { _ = try reader.linear("a", 5, 3, bias: false) }
        #expect(wrong?.message == "x.safetensors: tensor a.weight has shape [3, 4], expected [3, 5]")
        let missing = #expect(throws: WanError.self) { _ = try reader.linear("a", 4, 3) }
        #expect(missing?.message == "x.safetensors: tensor a.bias is missing")
    }

    @Test func tokensOutsideTheVocabularyAreRefused() throws {
        var weights = Weights(seed: 5)
        weights.addTextEncoder(dim: 8, vocabulary: 30)
        let scratch = try ScratchFolder()
        let file = scratch.url.appending(path: "text.safetensors").path
        try SafetensorsWriter.write(weights.tensors, to: file)
        let encoder = try TextEncoder(canonicalTextEncoder(Checkpoint.open(file)), backend: backend)
        #expect(try encoder.encode([4, 29, 1]).count == 3 * 8)
        for id: Int32 in [30, -1] { #expect(throws: WanError.self) { try encoder.encode([4, id]) } }
        let bytes = try backend.bytes { _ = try encoder.encode([Int32](repeating: 7, count: 40)) }
        #expect(
            bytes <= TextEncoder.workspaceBytes(configuration: encoder.configuration, tokenCount: 40, activation: .f32))
    }
}
