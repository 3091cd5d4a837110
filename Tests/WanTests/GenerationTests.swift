import CPUBackend
import Foundation
import Media
import Sampling
import Tensors
import TestSupport
import Testing
import TinyModels
import Wan

@testable import Generation

/// A sink that keeps what it is given.
private final class MemorySink: FrameSink {
    var frames: [UInt8] = []
    var counts: [Int] = []
    var isFinished = false
    var failsAt: Int?
    struct Full: Error {}

    func append(_ frames: [UInt8], count: Int) throws {
        if let failsAt, counts.reduce(0, +) >= failsAt { throw Full() }
        self.frames += frames
        counts.append(count)
    }

    func finish() throws { isFinished = true }
}

/// Whole jobs with a model of random weights.
struct GenerationTests {
    private let scratch: ScratchFolder
    private let library: ModelLibrary

    init() throws {
        scratch = try ScratchFolder()
        try TinyModel.write(in: scratch.url)
        library = ModelLibrary(directories: [scratch.url])
    }

    private func generator(_ options: Generator.Options = Generator.Options(availableMemory: { nil })) -> Generator {
        Generator(library: library, backend: CPUBackend(threads: 2), options: options)
    }

    private func request(_ mode: GenerationMode = .t2v, prompt: String = "a cat on the moon") throws
        -> GenerationRequest
    {
        var request = try library.model("Tiny").request(prompt: prompt, mode: mode)
        if mode == .i2v {
            var random = SplitMix(8)
            let pixels = (0..<20 * 30 * 3).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            request.image = RGBImage(width: 30, height: 20, pixels: pixels)
        }
        return request
    }

    @Test(arguments: GenerationMode.allCases) func sameRequestSameBytes(mode: GenerationMode) throws {
        let request = try request(mode)
        let warm = generator()
        let sinks = [MemorySink(), MemorySink(), MemorySink()]
        let first = try warm.generate(request, sink: sinks[0])
        let second = try warm.generate(request, sink: sinks[1])
        let cold = try generator().generate(request, sink: sinks[2])
        #expect(sinks[0].frames.count == 9 * 64 * 48 * 3 && sinks.allSatisfy(\.isFinished))
        #expect(sinks[1].frames == sinks[0].frames && sinks[2].frames == sinks[0].frames)
        #expect(Set([first, second, cold].map(\.report.framesSha256)).count == 1)
        #expect(first.poster.pixels == Array(sinks[0].frames[4 * 64 * 48 * 3..<5 * 64 * 48 * 3]))

        var other = request
        other.seed = 1
        let sink = MemorySink()
        #expect(try warm.generate(other, sink: sink).report.framesSha256 != first.report.framesSha256)
        #expect(sink.frames != sinks[0].frames)
    }

    /// A decoding that fails costs no step: the next attempt takes the latents, and they make the same film.
    @Test(arguments: GenerationMode.allCases) func failedDecodingKeepsTheLatents(mode: GenerationMode) throws {
        let request = try request(mode)
        let whole = MemorySink()
        let expected = try generator().generate(request, sink: whole).report
        #expect(expected.latentsSaved == nil)

        let place = LatentsPlace(scratch.url.appending(path: "job.safetensors"), notes: ["comment": "\"ä\""])
        let broken = MemorySink()
        broken.failsAt = 1
        #expect(throws: GenerationError.self) { try generator().generate(request, sink: broken, latents: place) }
        let again = MemorySink()
        let report = try generator().generate(request, sink: again, latents: place).report
        #expect(report.latentsSaved == true && report.steps.isEmpty && report.framesSha256 == expected.framesSha256)
        #expect(again.frames == whole.frames)

        // By hand, without the picture.
        let saved = try SavedLatents(path: place.url.path)
        #expect(saved.notes == place.notes && saved.request.seed == request.seed)
        let byHand = MemorySink()
        _ = try generator().decode(saved, sink: byHand)
        #expect(byHand.frames == whole.frames && byHand.isFinished)

        // Another request does not take them, and leaves its own.
        var other = request
        other.seed = 1
        let different = try generator().generate(other, sink: MemorySink(), latents: place).report
        #expect(different.latentsSaved == nil && different.framesSha256 != expected.framesSha256)
        #expect(try SavedLatents(path: place.url.path).request.seed == 1)
    }

    @Test func filesThatAreNoLatentsAreRefused() throws {
        let place = LatentsPlace(scratch.url.appending(path: "job.safetensors"))
        _ = try generator().generate(request(), sink: MemorySink(), latents: place)
        let bytes = try Data(contentsOf: place.url)
        func refused(_ data: Data) throws {
            try data.write(to: place.url)
            #expect(throws: GenerationError.self) { try SavedLatents(path: place.url.path) }
        }
        try refused(bytes.dropLast(4))
        try refused(Data(repeating: 0xFF, count: 4).withUnsafeBytes { bytes.dropLast(4) + $0 })
        // What a host that stopped may leave: the right length, and zeros where the disk had not been written.
        try refused(bytes.dropLast(64) + Data(count: 64))
        try refused(Data(String(decoding: bytes, as: UTF8.self).replacing("latents\"", with: "latentz\"").utf8))
        try FileManager.default.removeItem(at: place.url)
        #expect(throws: GenerationError.self) { try SavedLatents(path: place.url.path) }
        // A film is made all the same where none can be kept.
        let nowhere = LatentsPlace(scratch.url.appending(path: "missing/job.safetensors"))
        #expect(try generator().generate(request(), sink: MemorySink(), latents: nowhere).report.latentsSaved == nil)
    }

    /// Held to the picture, the latents begin with those of the picture, and the film is another one.
    @Test func theFirstFrameIsThePicture() throws {
        var request = try request(.i2v)
        let sinks = [MemorySink(), MemorySink()]
        let generator = generator()
        let free = try generator.generate(request, sink: sinks[0]).report
        request.exactFirstFrame = true
        let place = LatentsPlace(scratch.url.appending(path: "held.safetensors"))
        let held = try generator.generate(request, sink: sinks[1], latents: place).report
        #expect(free.exactFirstFrame == false && held.exactFirstFrame == true)
        #expect(sinks[0].frames != sinks[1].frames)
        let geometry = try LatentGeometry(frameCount: request.frameCount, size: request.size)
        let vae = try VAE(ModelFiles(library.model("Tiny")).vae, backend: CPUBackend(threads: 2))
        let resized = Resizer.resize(request.image!, width: request.size.width, height: request.size.height)
        let picture = try vae.makeEncoder(geometry).encode(resized.normalized())
        let decoded = MemorySink()
        try vae.makeDecoder(geometry).decodeBytes(picture) { try decoded.append($0, count: $1) }
        let area = request.size.area * 3
        let differences = zip(decoded.frames.prefix(area), sinks[1].frames.prefix(area)).map { abs(Int($0) - Int($1)) }
        #expect(differences.max() ?? 255 <= 1)
        #expect(try generator.generate(self.request(), sink: MemorySink()).report.exactFirstFrame == nil)
    }

    @Test func reportSaysWhatRan() throws {
        let report = try generator().generate(request(.i2v), sink: MemorySink()).report
        #expect(report.steps.map(\.timestep) == [996, 932, 852, 608])
        #expect(report.steps.map(\.expert) == [.highNoise, .highNoise, .lowNoise, .lowNoise])
        #expect(
            report.steps.map(\.file) == ["high.safetensors", "high.safetensors", "low.safetensors", "low.safetensors"])
        #expect(
            report.weights.map(\.file) == [
                "high.safetensors", "low.safetensors", "vae.safetensors", "text.safetensors", "tokenizer/spiece.model",
            ])
        #expect(report.weights.allSatisfy { $0.sha256.count == 64 })
        #expect(report.stages.map(\.stage) == [.load, .text, .image, .step, .swap, .decode, .encode])
        #expect(report.attention == .sla && report.slaTopk == 0.5 && report.linearPrecision == "float")
        #expect(report.backend == "cpu" && report.precision == "f32" && report.sampler == .ode)
        #expect(report.diffusionSeconds > 0 && report.totalSeconds >= report.diffusionSeconds)
        #expect(
            report.memoryEstimate.leastBytes > 0 && report.memoryEstimate.leastBytes <= report.memoryEstimate.mostBytes)
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let text = String(decoding: try encoder.encode(report), as: UTF8.self)
        #expect(text.contains("\"frames_sha256\"") && !text.contains(scratch.url.path))
    }

    @Test(arguments: [LinearPrecision.int8, .float]) func precisionIsReported(precision: LinearPrecision) throws {
        var request = try request()
        request.linearPrecision = precision
        #expect(try generator().generate(request, sink: MemorySink()).report.linearPrecision == precision.rawValue)
    }

    @Test func digestOfAFileIsItsSHA256() throws {
        let file = scratch.url.appending(path: "abc")
        try Data("abc".utf8).write(to: file)
        let digests = FileDigests()
        digests.prepare([file])
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        #expect(try digests.digest(file) == expected)
        #expect(try digests.digest(file) == expected)
    }

    /// Told apart by a planted digest: what is kept is taken as long as the file is the same, and never after a change,
    /// even one that leaves size and modification time as they were.
    @Test func digestsOutlastTheProcessButNotTheFile() throws {
        let file = scratch.url.appending(path: "weights")
        let kept = scratch.url.appending(path: "digests.json")
        try Data("abc".utf8).write(to: file)
        let digest = try FileDigests(folder: scratch.url).digest(file)
        let planted = String(repeating: "0", count: 64)
        let text = try String(contentsOf: kept, encoding: .utf8)
        #expect(text.contains(digest))
        try Data(text.replacing(digest, with: planted).utf8).write(to: kept)
        #expect(try FileDigests(folder: scratch.url).digest(file) == planted)
        let modified = try FileManager.default.attributesOfItem(atPath: file.path)[.modificationDate]
        let handle = try FileHandle(forWritingTo: file)
        try handle.write(contentsOf: Data("abd".utf8))
        try handle.close()
        try FileManager.default.setAttributes([.modificationDate: modified as Any], ofItemAtPath: file.path)
        let changed = "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9"
        #expect(try FileDigests(folder: scratch.url).digest(file) == changed)
        for damage in ["", "{", "[{\"file\": 1}]", text.replacing(digest, with: "nonsense")] {
            try Data(damage.utf8).write(to: kept)
            #expect(try FileDigests(folder: scratch.url).digest(file) == changed)
        }
        try FileManager.default.removeItem(at: file)
        #expect(throws: CocoaError.self) { try FileDigests(folder: scratch.url).digest(file) }
    }

    @Test func progressRisesToTheEndThroughEveryStage() throws {
        var seen: [GenerationProgress] = []
        _ = try generator().generate(request(.i2v), sink: MemorySink()) {
            seen.append($0)
            return true
        }
        let fractions = seen.map(\.fraction)
        #expect(fractions == fractions.sorted() && (fractions.last ?? 0) > 0.9)
        #expect(Set(seen.map(\.stage)) == Set(GenerationStage.allCases))
        #expect(seen.last?.step == 4 && seen.allSatisfy { $0.stepCount == 4 })
    }

    @Test(arguments: GenerationStage.allCases.filter { $0 != .encode }) func cancellingEndsAnyStage(
        stage: GenerationStage
    ) throws {
        let sink = MemorySink()
        var after = 0
        let error = #expect(throws: GenerationError.self) {
            _ = try generator().generate(request(.i2v), sink: sink) { progress in
                if after > 0 { after += 1 }
                if progress.stage == stage, after == 0 { after = 1 }
                return after == 0
            }
        }
        #expect(error?.code == .cancelled)
        #expect(after == 1)
        #expect(!sink.isFinished)
    }

    @Test func aGeneratorGoesOnAfterACancelledJob() throws {
        let generator = generator()
        _ = try? generator.generate(request(), sink: MemorySink()) { $0.stage != .step }
        let sink = MemorySink()
        let reference = MemorySink()
        _ = try generator.generate(request(), sink: sink)
        _ = try self.generator().generate(request(), sink: reference)
        #expect(sink.frames == reference.frames)
    }

    @Test func aFailingSinkFailsTheJob() throws {
        let sink = MemorySink()
        sink.failsAt = 2
        let error = #expect(throws: GenerationError.self) { _ = try generator().generate(request(), sink: sink) }
        #expect(error?.code == .output)
        #expect(!sink.isFinished)
    }

    @Test func tooLittleMemoryIsRefusedBeforeAnyWork() throws {
        var stages: [GenerationStage] = []
        let small = generator(Generator.Options(memoryLimit: 1 << 20))
        let error = #expect(throws: GenerationError.self) {
            _ = try small.generate(request(), sink: MemorySink()) {
                stages.append($0.stage)
                return true
            }
        }
        #expect(error?.code == .memory && stages.isEmpty)
        #expect(error?.message.hasSuffix("1 MiB are free") == true)
        #expect(error?.hint == "lower the resolution or use quantised weights")
    }

    /// With room for one expert at a time the frames are the same.
    @Test func scarceMemoryChangesNothingButResidency() throws {
        let request = try request(.i2v)
        let estimate = try generator().estimate(request)
        let (roomy, tight) = (MemorySink(), MemorySink())
        let generous = generator()
        _ = try generous.generate(request, sink: roomy)
        #expect(generous.resident.contains("Tiny/high.safetensors/stored/device"))
        let scarce = generator(Generator.Options(memoryLimit: estimate.leastBytes, availableMemory: { nil }))
        _ = try scarce.generate(request, sink: tight)
        #expect(!scarce.resident.contains("Tiny/high.safetensors/stored/device"))
        #expect(scarce.resident.bytes < generous.resident.bytes)
        #expect(tight.frames == roomy.frames)
    }

    @Test func requestsAreCheckedAgainstTheModel() throws {
        func message(_ change: (inout GenerationRequest) -> Void) throws -> String {
            var request = try request()
            change(&request)
            let error = #expect(throws: GenerationError.self) { try request.validate(for: library.model("Tiny")) }
            #expect(error?.hint.isEmpty == false)
            return error?.message ?? ""
        }
        #expect(try message { $0.steps = 8 }.contains("at most 4"))
        #expect(try message { $0.frameCount = 10 }.contains("4n + 1"))
        #expect(try message { $0.frameCount = 33 }.contains("5 to 17"))
        #expect(try message { $0.size.width = 65 }.contains("multiples of 16"))
        #expect(try message { $0.size = FrameSize(width: 8192, height: 4096) }.contains("too large"))
        #expect(try message { $0.slaTopK = 0 }.contains("sla_topk"))
        #expect(try message { $0.boundary = 1.5 }.contains("boundary"))
        #expect(try message { $0.crf = 0 }.contains("crf"))
        #expect(try message { $0.sigmaMax = -1 }.contains("sigma_max"))
        #expect(try message { $0.framesPerSecond = 0 }.contains("frames a second"))
    }

    @Test func sparseAttentionOfADenseModelIsRefused() throws {
        let scratch = try ScratchFolder()
        try TinyModel.write(in: scratch.url, sparse: false)
        let library = ModelLibrary(directories: [scratch.url])
        let generator = Generator(library: library, backend: CPUBackend(threads: 1))
        var request = try request()
        let error = #expect(throws: GenerationError.self) { _ = try generator.generate(request, sink: MemorySink()) }
        #expect(error?.code == .request && error?.hint == "set attention to original")
        request.attention = .original
        #expect(try generator.generate(request, sink: MemorySink()).report.slaTopk == nil)
    }

    @Test func damagedWeightsAreNamedWithoutTheirPath() throws {
        let file = scratch.url.appending(path: "tiny/vae.safetensors")
        let data = try Data(contentsOf: file)
        try data.prefix(data.count - 100).write(to: file)
        let error = #expect(throws: GenerationError.self) {
            _ = try generator().generate(request(), sink: MemorySink())
        }
        #expect(error?.code == .weights)
        #expect(
            error?.message.contains("vae.safetensors") == true && error?.message.contains(scratch.url.path) == false)
    }

    @Test func filmSinkWritesTheFilm() throws {
        let film = scratch.url.appending(path: "film.mp4")
        let request = try request()
        let sink = try FilmSink(
            path: film.path,
            settings: VideoSettings(width: request.size.width, height: request.size.height, frameRate: FrameRate(16)),
            marks: VideoMarks(
                comment: "a test", dropreel: "{}", aigc: "{}", xmp: SyntheticMediaXMP.packet(creatorTool: "test")))
        _ = try generator().generate(request, sink: sink)
        #expect(sink.summary?.frameCount == 9)
    }
}
