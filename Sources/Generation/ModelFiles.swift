import Checkpoints
import Foundation
import Sampling
import Tensors
import Text
import Wan

/// A model's files, opened but not loaded: mapped, recognised and checked.
///
/// Weights files must not be changed in place while they are open; replacing them by rename is harmless.
final class ModelFiles {
    let model: Model
    /// Token ids of a cleaned prompt.
    let encode: (String) -> TokenIDs
    let textEncoder: ModelWeights<TextEncoderLayout>
    let vae: ModelWeights<VAELayout>
    private var transformers: [String: ModelWeights<TransformerLayout>] = [:]
    private let isInMemory: Bool

    /// - Throws: `GenerationError` `.weights`.
    init(_ model: Model) throws {
        self.model = model
        isInMemory = false
        let tokenizer: Tokenizer
        do {
            tokenizer = try Tokenizer(model.url(model.manifest.tokenizer).path)
            textEncoder = try canonicalTextEncoder(Checkpoint.open(model.url(model.manifest.textEncoder).path))
            vae = try canonicalVAE(Checkpoint.open(model.url(model.manifest.vae).path))
        } catch {
            throw GenerationError.wrap(error, folder: model.folder)
        }
        guard tokenizer.vocabularySize <= textEncoder.layout.vocabularySize else {
            throw GenerationError(
                .weights,
                "\(model.manifest.tokenizer) knows \(tokenizer.vocabularySize) ids, \(model.manifest.textEncoder) has rows for "
                    + "\(textEncoder.layout.vocabularySize)", hint: "use the tokenizer that belongs to the text encoder"
            )
        }
        encode = { tokenizer.encode($0) }
    }

    /// Weights in memory, for measurements and tests at full size.
    init(_ full: FullSizeModel) throws {
        model = full.model
        isInMemory = true
        (textEncoder, vae, transformers) = (full.textEncoder, full.vae, full.transformers)
        let ids = (0..<512).map { Int32($0 < full.tokenCount ? $0 * 37 % 30_000 + 1 : 0) }
        encode = { _ in TokenIDs(ids: ids, length: full.tokenCount) }
    }

    /// The network in `file`, which must be of the mode and take this model's text.
    func transformer(_ file: String, mode: GenerationMode) throws -> ModelWeights<TransformerLayout> {
        if let open = transformers[file] { return open }
        let weights: ModelWeights<TransformerLayout>
        do { weights = try canonicalTransformer(Checkpoint.open(model.url(file).path)) } catch {
            throw GenerationError.wrap(error, folder: model.folder)
        }
        guard weights.layout.modelType.rawValue == mode.rawValue else {
            throw GenerationError(
                .weights,
                "\(file) is a network for \(weights.layout.modelType.rawValue), listed under \(mode.rawValue)",
                hint: "correct \(ModelManifest.fileName)")
        }
        guard weights.layout.textDim == textEncoder.layout.dim else {
            throw GenerationError(
                .weights,
                "\(file) takes text of \(weights.layout.textDim) values a token, \(model.manifest.textEncoder) gives "
                    + "\(textEncoder.layout.dim)", hint: "use files of one model")
        }
        guard weights.layout.outputChannels == LatentGeometry.channels,
            vae.layout.latentChannels == LatentGeometry.channels
        else {
            throw GenerationError(
                .weights, "\(file): latents of \(weights.layout.outputChannels) channels",
                hint: "only models of \(LatentGeometry.channels) latent channels run")
        }
        transformers[file] = weights
        return weights
    }

    /// Every file a mode uses, as digested for the log.
    func urls(_ mode: GenerationMode) -> [(name: String, url: URL)] {
        if isInMemory { return [] }
        let manifest = model.manifest
        let networks = manifest.modes[mode]?.files ?? []
        let found = (networks + [manifest.vae, manifest.textEncoder, manifest.tokenizer]).map { ($0, model.url($0)) }
        return found.flatMap { Self.whole($0.0, $0.1) }
    }

    /// A folder or an index stands for the shards beside it.
    private static func whole(_ name: String, _ url: URL) -> [(name: String, url: URL)] {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue {
            let inside = (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
            return inside.sorted().filter { !$0.hasPrefix(".") }.map { ("\(name)/\($0)", url.appending(path: $0)) }
        }
        guard name.hasSuffix(".index.json") else { return [(name, url)] }
        let folder = url.deletingLastPathComponent()
        let stem = String(name.dropLast(".safetensors.index.json".count))
        let shards = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return [(name, url)]
            + shards.sorted().filter { $0.hasPrefix(stem + "-") && $0.hasSuffix(".safetensors") }
            .map { ($0, folder.appending(path: $0)) }
    }

    /// What a request will take on a backend, read without loading.
    func needs(
        _ request: GenerationRequest, geometry: LatentGeometry, tokenCount: Int, backend: any Backend
    ) throws -> MemoryNeeds {
        let files = model.manifest.modes[request.mode]?.files ?? []
        var sizes: [(file: String, size: NetworkFootprint)] = []
        var configuration: TransformerConfiguration?
        for file in files {
            let weights = try transformer(file, mode: request.mode)
            let own = TransformerConfiguration(weights.layout)
            guard configuration == nil || configuration == own else {
                throw GenerationError(
                    .weights, "\(files.joined(separator: " and ")) are of different sizes",
                    hint: "use files of one model")
            }
            configuration = own
            sizes.append((file, weights.footprint(precision: request.linearPrecision, on: backend)))
        }
        guard let configuration else {
            throw GenerationError(.model, "\(model.name) has no network", hint: "install it")
        }
        return MemoryNeeds(
            request, geometry: geometry, tokenCount: tokenCount,
            textEncoder: TextEncoderConfiguration(textEncoder.layout),
            text: textEncoder.footprint(except: ["token_embedding.weight"], on: backend),
            vae: VAEConfiguration(vae.layout), vaeBytes: vae.footprint(on: backend), transformer: configuration,
            networks: sizes, backend: backend)
    }
}
