import Foundation
import Sampling

/// A model folder with a manifest that holds together.
public struct Model: Sendable, Hashable {
    public let folder: URL
    public let manifest: ModelManifest

    public var name: String { manifest.name }
    public var modes: [GenerationMode] { GenerationMode.allCases.filter { manifest.modes[$0] != nil } }

    /// Reads `model.json` of a folder and looks that the files it names are there.
    /// - Throws: `GenerationError` `.manifest`.
    public init(folder: URL) throws {
        let file = folder.appending(path: ModelManifest.fileName)
        let label = "\(folder.lastPathComponent)/\(ModelManifest.fileName)"
        guard let handle = try? FileHandle(forReadingFrom: file),
            let data = try? handle.read(upToCount: ModelManifest.byteLimit + 1)
        else { throw GenerationError(.manifest, "\(label): cannot be read", hint: "check that it exists and its mode") }
        manifest = try ModelManifest(json: data, file: label)
        self.folder = folder
        let named = manifest.modes.values.flatMap(\.files) + [manifest.vae, manifest.textEncoder, manifest.tokenizer]
        for name in named where !FileManager.default.fileExists(atPath: folder.appending(path: name).path) {
            throw GenerationError(
                .manifest, "\(label): names \(name), which is not there", hint: "add the file or correct the name")
        }
    }

    /// A model without files.
    init(manifest: ModelManifest) {
        self.manifest = manifest
        folder = URL(filePath: "/nonexistent")
    }

    public func url(_ name: String) -> URL { folder.appending(path: name) }

    /// The size of a named resolution; nil for the model's own.
    /// - Throws: `SamplingError`.
    public func size(resolution: String? = nil, aspectRatio: String? = nil) throws -> FrameSize {
        try manifest.resolutions.size(
            resolution: resolution ?? manifest.defaultResolution,
            aspectRatio: aspectRatio ?? manifest.defaultAspectRatio)
    }

    /// What a request means if it says nothing but prompt and picture.
    public func request(prompt: String, mode: GenerationMode) throws -> GenerationRequest {
        let (defaults, size) = (manifest.defaults, try size())
        return GenerationRequest(
            model: name, prompt: prompt, size: size, frameCount: manifest.frames.standard,
            framesPerSecond: manifest.framesPerSecond, steps: defaults.steps, seed: 0,
            sampler: defaults.sampler[mode] ?? .sde, sigmaMax: defaults.sigmaMax[mode] ?? 80,
            boundary: defaults.boundary, exactFirstFrame: mode == .i2v && defaults.exactFirstFrame,
            attention: defaults.attention[mode] ?? .sagesla,
            slaTopK: defaults.slaTopK[mode] ?? 0.1,
            linearPrecision: defaults.quantizesLinears ? .int8 : .stored)
    }
}

/// The models found in some folders.
public struct ModelLibrary: Sendable {
    /// By name.
    public let models: [Model]
    /// Folders with a manifest that is of no use, and why.
    public let problems: [GenerationError]

    /// Looks for `model.json` in every folder and in the folders directly inside it.
    public init(directories: [URL]) {
        var models: [Model] = []
        var problems: [GenerationError] = []
        let files = FileManager.default
        for directory in directories {
            let inside = (try? files.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)) ?? []
            let candidates = [directory] + inside.sorted { $0.lastPathComponent < $1.lastPathComponent }
            for folder in candidates
            where files.fileExists(atPath: folder.appending(path: ModelManifest.fileName).path) {
                do {
                    let model = try Model(folder: folder)
                    if models.contains(where: { $0.name.lowercased() == model.name.lowercased() }) {
                        throw GenerationError(
                            .manifest, "\(folder.lastPathComponent): a second model called \(model.name)",
                            hint: "give one of them another name")
                    }
                    models.append(model)
                } catch {
                    problems.append(.wrap(error, folder: folder))
                }
            }
        }
        self.models = models.sorted { $0.name < $1.name }
        self.problems = problems
    }

    init(models: [Model]) { (self.models, problems) = (models, []) }

    /// The model of that name, ignoring case.
    /// - Throws: `GenerationError` `.model`, naming what there is.
    public func model(_ name: String) throws -> Model {
        if let model = models.first(where: { $0.name.lowercased() == name.lowercased() }) { return model }
        let known = models.isEmpty ? "install a model" : "use one of \(models.map(\.name).joined(separator: ", "))"
        throw GenerationError(.model, "there is no model \"\(name)\"", hint: known)
    }
}
