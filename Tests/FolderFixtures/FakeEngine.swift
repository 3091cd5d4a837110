import Digests
import Foundation
import Rules
import WatchFolder

/// An engine of some milliseconds that behaves as the words of its prompt say:
/// `crash`, `hang`, `stuck` (deaf to cancellation), `refuse`, `retryable`, `full`, `slow` (20 steps of 10 ms each,
/// `slower` of 100 ms), `gate` (waits until a file `gate` stands beside the staging root).
public final class FakeEngine: VideoGenerating {
    public private(set) var loadedModel: String?

    public init() {}

    public func generate(
        _ order: RenderOrder, into staging: StagingDirectory, progress: @Sendable (RenderProgress) -> Void,
        isCancelled: @Sendable () -> Bool
    ) throws -> RenderOutcome {
        loadedModel = order.settings.model.value
        let words = Set(order.promptGiven.split(separator: " ").map(String.init))
        try misbehave(words)
        let steps = order.settings.steps.value
        for step in 0..<(words.contains("slow") || words.contains("slower") ? 20 : steps) {
            if isCancelled() { throw CancellationError() }
            progress(
                RenderProgress(stage: "step", step: step, stepCount: steps, fraction: Double(step) / Double(steps)))
            if words.contains("slow") { usleep(10_000) }
            if words.contains("slower") { usleep(100_000) }
        }
        let gate = staging.url.deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("gate")
        while words.contains("gate"), access(gate.path, F_OK) != 0 {
            if isCancelled() { throw CancellationError() }
            usleep(2000)
        }
        let outcome = try film(order, staging: staging)
        if words.contains("torn") { truncate(staging.poster.path, 10) }
        return outcome
    }

    private func misbehave(_ words: Set<String>) throws {
        if words.contains("crash") { kill(getpid(), SIGKILL) }
        while words.contains("hang") { usleep(10_000) }
        if words.contains("refuse") {
            throw ServiceError(.badSettings, "The engine refuses.", hint: "Ask for something else.")
        }
        if words.contains("retryable") {
            throw ServiceError(.outOfMemory, "No memory.", hint: "Lower the resolution.")
        }
    }

    /// All of the bytes, also where the system writes fewer than asked; `Data.write(to:)` leaves it at that.
    private func write(_ bytes: Data, to file: URL) throws {
        try Data().write(to: file)
        let handle = try FileHandle(forWritingTo: file)
        defer { try? handle.close() }
        try handle.write(contentsOf: bytes)
    }

    /// Bytes that depend on everything that a film depends on, and on nothing else.
    private func film(_ order: RenderOrder, staging: StagingDirectory) throws -> RenderOutcome {
        let image = try order.imageSnapshot.map { try Digest.ofFile($0.path) } ?? "none"
        let audio = try order.audioSnapshot.map { "|" + (try Digest.ofFile($0.path)) } ?? ""
        let recipe =
            "\(order.promptUsed)|\(order.seed)|\(image)|\(order.settings.steps.value)|\(order.settings.model.value)\(audio)"
        let film = Data("film:".utf8) + Data(String(repeating: recipe + "\n", count: 200).utf8)
        let poster = Data("IMG poster:\(recipe)END".utf8)
        try write(film, to: staging.film)
        try write(poster, to: staging.poster)
        let sheet = Data("IMG poster:sheet:\(recipe)END".utf8)
        if order.settings.contactSheet.value { try write(sheet, to: staging.sheet) }
        return RenderOutcome(
            filmSHA256: Digest.of(film), posterSHA256: Digest.of(poster),
            sheetSHA256: order.settings.contactSheet.value ? Digest.of(sheet) : nil,
            report: [
                "width": .integer(256), "height": .integer(144), "frames": .integer(81), "fps": .integer(16),
                "backend": .string("fake"), "timings": .object(["decode": .number(0.001)]),
            ])
    }
}

/// Pictures of the tests: `IMG` + anything + `END` is complete, without the end incomplete, anything else broken.
/// `IMG trouble <path>;` cannot be looked at for as long as there is a file at that path, and `IMG slow <path>;` takes
/// until it is gone. Sounds begin with `sound`.
public struct FakeInspector: InputInspecting {
    public init() {}

    public func inspect(_ snapshot: URL, as medium: InputMedium) -> InputVerdict {
        guard let bytes = try? Data(contentsOf: snapshot) else { return .incomplete("it is gone") }
        if medium == .sound {
            return bytes.starts(with: Data("sound".utf8))
                ? .complete
                : .broken(ServiceError(.badInput, "This is no sound.", hint: "Save it as WAV, M4A or MP3."))
        }
        guard bytes.starts(with: Data("IMG".utf8)) else {
            return .broken(ServiceError(.badInput, "This is no picture.", hint: "Save it as JPEG or PNG."))
        }
        let text = String(decoding: bytes, as: UTF8.self)
        if let obstacle = text.firstMatch(of: /trouble ([^;]+);/)?.1,
            FileManager.default.fileExists(atPath: String(obstacle))
        {
            return .broken(
                ServiceError(.interrupted, "The process that decodes pictures was ended.", hint: "It is tried again."))
        }
        if let obstacle = text.firstMatch(of: /slow ([^;]+);/)?.1 {
            while FileManager.default.fileExists(atPath: String(obstacle)) { usleep(5_000) }
        }
        return bytes.suffix(3) == Data("END".utf8) ? .complete : .incomplete("the picture ends in the middle")
    }
}

/// Reads films of the tests, whose `dropreel` metadata is their whole content.
public struct FakeFilmReader: FilmMetadataReading {
    public init() {}

    public func dropreelMetadata(of film: URL) throws -> String? {
        try String(contentsOf: film, encoding: .utf8)
    }
}

extension ModelCatalogue {
    /// Two models, one for each mode.
    public static let fake = ModelCatalogue(models: [
        ModelLimits(
            name: "Fake-T2V", modes: [.textToVideo],
            resolutions: ["144p": ["16:9": PixelSize(width: 256, height: 144)]],
            defaultResolution: "144p", frameRange: 5...161),
        ModelLimits(
            name: "Fake-I2V", modes: [.imageToVideo],
            resolutions: ["144p": ["16:9": PixelSize(width: 256, height: 144)]],
            defaultResolution: "144p", frameRange: 5...161),
    ])
}

extension ServiceOptions {
    /// Short times for tests.
    public static var quick: ServiceOptions {
        var options = ServiceOptions()
        options.quietPeriod = 0.05
        options.quietPeriodWithoutLease = 0.05
        options.pairWait = 0.3
        options.pollInterval = 0.02
        options.statusInterval = 0.05
        options.rulesInterval = 0.05
        options.spaceRetryInterval = 0.05
        options.minimumFreeBytes = 0
        options.workerRestartDelay = 0.01
        options.usesWatcher = false
        options.policy = AttemptPolicy(backOff: 0.02)
        return options
    }
}
