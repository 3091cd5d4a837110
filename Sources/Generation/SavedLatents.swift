import Checkpoints
import Digests
import Foundation
import Media
import Sampling
import Tensors
import Wan

/// Where a job's latents lie between its last step and its film, so that a failed decoding never costs the steps.
public struct LatentsPlace: Sendable {
    public let url: URL
    /// Kept beside them for whoever decodes them later.
    public let notes: [String: String]

    public init(_ url: URL, notes: [String: String] = [:]) { (self.url, self.notes) = (url, notes) }
}

/// Latents read back: one safetensors file with `latents` f32 `[16, F, h, w]`, and in its metadata what was asked for and
/// everything they depend on.
public struct SavedLatents: Sendable {
    /// What was asked for; a picture is not kept, a grey one stands for it.
    public let request: GenerationRequest
    public let latents: [Float]
    public let notes: [String: String]
    let identity: String

    /// - Throws: `GenerationError` `.request`: not such a file.
    public init(path: String) throws {
        func refuse(_ what: String) -> GenerationError {
            GenerationError(.request, "\(path): \(what)", hint: "name a file of latents that a job has left")
        }
        let file: Checkpoint
        do { file = try Checkpoint.open(path) } catch { throw refuse("\(error)") }
        guard let text = file.metadata[Self.requestKey], let identity = file.metadata[Self.identityKey],
            let kept = try? JSONDecoder().decode(KeptRequest.self, from: Data(text.utf8)),
            let tensor = file.tensor("latents"), tensor.dtype == .f32
        else { throw refuse("no latents of this program") }
        guard kept.size.width > 0, kept.size.height > 0, kept.size.width <= 1 << 14, kept.size.height <= 1 << 14,
            let geometry = try? LatentGeometry(frameCount: kept.frameCount, size: kept.size),
            tensor.shape == [
                LatentGeometry.channels, geometry.latentFrames, geometry.latentHeight, geometry.latentWidth,
            ]
        else { throw refuse("latents of another shape than was asked for") }
        request = kept.request
        latents = tensor.floats()
        guard file.metadata[Self.digestKey] == Self.digest(latents) else {
            throw refuse("latents that were not written whole")
        }
        guard latents.allSatisfy(\.isFinite) else { throw refuse("latents that are not numbers") }
        notes = file.metadata.filter { ![Self.requestKey, Self.identityKey, Self.digestKey].contains($0.key) }
        self.identity = identity
    }

    private static let requestKey = "dropreel.request"
    private static let identityKey = "dropreel.identity"
    private static let digestKey = "dropreel.sha256"

    private static func digest(_ latents: [Float]) -> String { latents.withUnsafeBytes { Digest.of($0) } }

    /// Nothing waits for the disk: a host that stops may lose the file or parts of it, which its digest tells and which
    /// costs the steps again.
    /// - Throws: `CheckpointError`.
    static func write(
        _ latents: [Float], of request: GenerationRequest, _ geometry: LatentGeometry, identity: String,
        to place: LatentsPlace
    ) throws {
        var metadata = place.notes
        metadata[requestKey] = String(decoding: try JSONEncoder().encode(KeptRequest(request)), as: UTF8.self)
        metadata[identityKey] = identity
        metadata[digestKey] = digest(latents)
        let shape = [LatentGeometry.channels, geometry.latentFrames, geometry.latentHeight, geometry.latentWidth]
        try SafetensorsWriter.write(
            [HostTensor(name: "latents", shape: shape, values: latents)], metadata: metadata, to: place.url.path,
            isLasting: false)
    }
}

extension GenerationJob {
    /// Changes with everything that the latents depend on.
    func latentsIdentity() -> String {
        var digest = Digest()
        func add(_ text: String) { Array((text + "\0").utf8).withUnsafeBytes { digest.add($0) } }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        add((try? encoder.encode(KeptRequest(request))).map { String(decoding: $0, as: UTF8.self) } ?? "")
        add("\(manifest.version) \(backend.name) \(backend.activationType) \(backend.deviceDescription)")
        for (name, url) in plan.files.urls(request.mode) {
            let values = try? url.resourceValues(forKeys: [.fileSizeKey, .contentModificationDateKey])
            add("\(name) \(values?.fileSize ?? -1) \(values?.contentModificationDate?.timeIntervalSince1970 ?? 0)")
        }
        if let image = request.image {
            add("\(image.width) x \(image.height)")
            image.pixels.withUnsafeBytes { digest.add($0) }
        }
        return digest.hexadecimal
    }
}

/// A request without its picture. What only the film depends on (rate, crf) is kept, too.
private struct KeptRequest: Codable {
    var model: String
    var prompt: String
    var hasImage: Bool
    var size: FrameSize
    var frameCount: Int
    var framesPerSecond: Int
    var steps: Int
    var seed: UInt64
    var sampler: SamplerKind
    var sigmaMax: Double
    var boundary: Double
    var exactFirstFrame: Bool?
    var attention: AttentionChoice
    var slaTopK: Double
    var linearPrecision: String
    var crf: Int
    var noiseDevice: NoiseDevice

    init(_ request: GenerationRequest) {
        (model, prompt, hasImage) = (request.model, request.prompt, request.image != nil)
        (size, frameCount, framesPerSecond) = (request.size, request.frameCount, request.framesPerSecond)
        (steps, seed, sampler, sigmaMax) = (request.steps, request.seed, request.sampler, request.sigmaMax)
        (boundary, attention, slaTopK) = (request.boundary, request.attention, request.slaTopK)
        exactFirstFrame = request.exactFirstFrame
        (linearPrecision, crf, noiseDevice) = (request.linearPrecision.rawValue, request.crf, request.noiseDevice)
    }

    var request: GenerationRequest {
        let grey = RGBImage(width: 1, height: 1, pixels: [128, 128, 128])
        return GenerationRequest(
            model: model, prompt: prompt, image: hasImage ? grey : nil, size: size, frameCount: frameCount,
            framesPerSecond: framesPerSecond, steps: steps, seed: seed, sampler: sampler, sigmaMax: sigmaMax,
            boundary: boundary, exactFirstFrame: exactFirstFrame ?? false, attention: attention, slaTopK: slaTopK,
            linearPrecision: LinearPrecision(rawValue: linearPrecision) ?? .stored, crf: crf, noiseDevice: noiseDevice)
    }
}
