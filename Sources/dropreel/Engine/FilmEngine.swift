import Digests
import Foundation
import Generation
import Media
import Rules
import Sampling
import Tensors
import WatchFolder

/// The engine as the folder sees it: an order becomes a film and a poster in staging.
final class FilmEngine: VideoGenerating {
    private let generator: Generator
    private let noiseDevice: NoiseDevice
    private let decoder: IsolatedDecoder
    private let latents: LatentsFolder?

    init(
        generator: Generator, engine: ServiceConfiguration.Engine, latents: LatentsFolder? = nil,
        decoder: IsolatedDecoder = IsolatedDecoder()
    ) {
        self.generator = generator
        (self.decoder, self.latents) = (decoder, latents)
        noiseDevice = NoiseDevice(engine)
    }

    var loadedModel: String? { generator.loadedModel }

    func generate(
        _ order: RenderOrder, into staging: StagingDirectory, progress: @Sendable (RenderProgress) -> Void,
        isCancelled: @Sendable () -> Bool
    ) throws -> RenderOutcome {
        var recorder: FaultRecorder?
        do {
            let request = try request(for: order)
            let marks = try order.marks(request: request)
            let place = latents?.place(
                for: order.jobID, marks: marks, label: order.settings.visibleLabel.value)
            let film = try FilmSink(
                path: staging.film.path, settings: request.videoSettings, marks: marks,
                sound: sound(for: order, request: request))
            let sheet =
                order.settings.contactSheet.value
                ? SheetSink(
                    film, width: request.size.width, height: request.size.height, frameCount: request.frameCount) : nil
            let sink = try FaultRecorder(
                LabellingSink(sheet ?? film, text: order.settings.visibleLabel.value, request: request))
            recorder = sink
            let result = try withoutActuallyEscaping(progress) { progress in
                try withoutActuallyEscaping(isCancelled) { isCancelled in
                    try generator.generate(request, sink: sink, latents: place) { state in
                        progress(RenderProgress(state))
                        return !isCancelled()
                    }
                }
            }
            try order.verify(film: staging.film.path, request: request)
            if let place { try? FileManager.default.removeItem(at: place.url) }
            try PosterWriter.write(result.poster, to: staging.poster.path)
            var sheetSHA256: String?
            if let picture = try sheet?.jpeg() {
                try PosterWriter.write(picture, to: staging.sheet.path)
                sheetSHA256 = Digest.of(picture)
            }
            return RenderOutcome(
                filmSHA256: try Digest.ofFile(staging.film.path),
                posterSHA256: try Digest.ofFile(staging.poster.path),
                sheetSHA256: sheetSHA256, report: try result.report.fields().merging(order.markFields()) { $1 })
        } catch {
            throw Self.serviceError(recorder?.fault ?? error)
        }
    }

    // MARK: The request

    private func request(for order: RenderOrder) throws -> GenerationRequest {
        var image: RGBImage?
        if let snapshot = order.imageSnapshot {
            image = try decoder.forRendering { try $0.picture(path: snapshot.path) }
        }
        var request = GenerationRequest(order.settings, prompt: order.promptUsed, image: image, seed: order.seed)
        request.noiseDevice = noiseDevice
        return request
    }

    /// Decoded before the film is begun: a broken sound costs no rendering.
    private func sound(for order: RenderOrder, request: GenerationRequest) throws -> Sound? {
        guard let snapshot = order.audioSnapshot else { return nil }
        let count = Sound.sampleCount(
            videoFrames: request.frameCount, rate: FrameRate(Int32(request.framesPerSecond)))
        return try decoder.forRendering { try $0.sound(path: snapshot.path, frameCount: count) }
    }

    // MARK: Errors

    /// The folder's word for an engine's error: its code decides about a retry.
    static func serviceError(_ error: any Error) -> any Error {
        switch error {
        case is CancellationError: return error
        case let error as GenerationError where error.code == .cancelled: return CancellationError()
        case let error as GenerationError:
            return ServiceError(code(error.code), error.message, hint: error.hint)
        case let error as MediaError:
            let full = error.code == .io && [ENOSPC, EDQUOT].contains(error.errno ?? 0)
            let code: ServiceError.Code = full ? .noSpace : error.code == .io ? .storage : .badInput
            return ServiceError(code, error.message, hint: error.hint)
        default:
            return ServiceError.wrapping(error)
        }
    }

    private static func code(_ code: GenerationError.Code) -> ServiceError.Code {
        switch code {
        case .request, .model: .badSettings
        case .manifest, .weights: .configuration
        case .memory: .outOfMemory
        case .output: .storage
        case .backend: .deviceLost
        case .cancelled: .interrupted
        }
    }
}

/// Keeps the error of the sink it wraps, which says more than the engine's summary of it.
private final class FaultRecorder: FrameSink {
    private let inner: any FrameSink
    private(set) var fault: (any Error)?

    init(_ inner: any FrameSink) { self.inner = inner }

    func append(_ frames: [UInt8], count: Int) throws {
        try recording { try inner.append(frames, count: count) }
    }

    func finish() throws { try recording { try inner.finish() } }

    private func recording(_ work: () throws -> Void) throws {
        do { try work() } catch {
            fault = error
            throw error
        }
    }
}
