import Checkpoints
import Media
import Rules

/// A reader of bytes that strangers made, and what must hold whatever the bytes are: it returns or throws one of its
/// errors with words in it; it never traps and reads nothing outside the bytes.
public enum FuzzTarget: String, CaseIterable, Sendable {
    /// A safetensors file: header and, where it is sound, every tensor.
    case safetensors
    /// A pickle, put into a sound archive beside sound storages.
    case pickle
    /// A `.pth` as a whole: archive and pickle.
    case archive
    /// A rule file.
    case rule
    /// A prompt file with its head, and a list of prompts.
    case prompt
    /// The headers of a JPEG.
    case jpeg
    /// The headers of a PNG.
    case png
    /// The boxes of a film dropped back.
    case film
    /// A sound: what the decoding process runs, with its C libraries and without its limits.
    case sound

    /// Largest input that is tried, in bytes.
    public static let limit = 4_096

    /// - Returns: whether the reader took the bytes for sound.
    @discardableResult
    public func run(_ bytes: [UInt8]) -> Bool {
        switch self {
        case .safetensors: Self.open(bytes, "x.safetensors")
        case .pickle: Self.open(Archive(pickle: bytes).bytes, "x.pth")
        case .archive: Self.open(bytes, "x.pth")
        case .rule: Self.readRule(bytes)
        case .prompt: Self.readPrompt(bytes)
        case .jpeg: Self.probe(bytes, signature: [0xFF, 0xD8, 0xFF])
        case .png: Self.probe(bytes, signature: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
        case .film: Self.readFilm(bytes)
        case .sound: Self.decodeSound(bytes)
        }
    }

    // MARK: Checkpoints

    private static func open(_ bytes: [UInt8], _ name: String) -> Bool {
        do {
            let checkpoint = try Checkpoint.open(bytes, named: name)
            for name in checkpoint.names.prefix(8) {
                guard let (shape, dtype) = checkpoint.layout(name) else { preconditionFailure("a name without layout") }
                // Copies of strided tensors cost what their shape says; the file is bounded, so they are.
                let count = shape.reduce(1) { $0.multipliedReportingOverflow(by: $1).partialValue }
                guard count >= 0, count <= 65_536, let tensor = checkpoint.tensor(name) else { continue }
                precondition(tensor.shape == shape && tensor.dtype == dtype)
            }
            return true
        } catch {
            precondition(!error.message.isEmpty && !error.hint.isEmpty)
            return false
        }
    }

    // MARK: Texts

    private static let models = ModelCatalogue(models: [
        ModelLimits(
            name: "Wan2.1-1.3B", aliases: ["Wan"], modes: [.textToVideo],
            resolutions: [
                "480p": ["16:9": PixelSize(width: 832, height: 480), "1:1": PixelSize(width: 640, height: 640)]
            ],
            defaultResolution: "480p")
    ])

    private static func readRule(_ bytes: [UInt8]) -> Bool {
        let rules = RuleSet(files: [RuleFile(path: "a.toml", bytes: bytes)], models: models)
        for (_, problems) in rules.problems { check(problems, lines: bytes.count + 1) }
        if case .sound = rules.rule(forFolder: "a") { return true }
        return false
    }

    private static func readPrompt(_ bytes: [UInt8]) -> Bool {
        var isSound = false
        for isList in [false, true] {
            do throws(RuleProblems) {
                let file = try PromptFile.read(bytes, source: "x.prompt", isList: isList)
                precondition(!file.prompts.isEmpty)
                let jobs = try JobExpansion.jobs(
                    folder: SettingLayer(), promptFile: file, mode: .textToVideo, models: models)
                precondition(!jobs.isEmpty)
                isSound = true
            } catch {
                check(error, lines: bytes.count + 1)
            }
        }
        return isSound
    }

    private static func check(_ problems: RuleProblems, lines: Int) {
        precondition(!problems.all.isEmpty)
        for problem in problems.all {
            precondition(!problem.message.isEmpty && !problem.hint.isEmpty && problem.located.utf8.count <= 1_000)
            if let line = problem.line { precondition((1...lines).contains(line)) }
        }
    }

    // MARK: Media

    private static func probe(_ bytes: [UInt8], signature: [UInt8]) -> Bool {
        isSound {
            let info = try ImageProbe.probe(signature + bytes)
            let limits = ImageLimits()
            precondition((1...limits.side).contains(info.width) && (1...limits.side).contains(info.height))
            precondition(info.width * info.height <= limits.pixelCount && (1...8).contains(info.orientation))
        }
    }

    private static func readFilm(_ bytes: [UInt8]) -> Bool {
        isSound {
            let film = try VideoMetadata.read(bytes)
            precondition(film.width >= 0 && film.height >= 0 && film.frameCount >= 0)
        }
    }

    private static func decodeSound(_ bytes: [UInt8]) -> Bool {
        isSound {
            let samples = try SoundDecoder.decode(bytes, frameCount: 960)
            precondition(!samples.isEmpty && samples.count <= 1_920 && samples.allSatisfy { abs($0) <= 1 })
        }
    }

    /// - Returns: whether the reader took it. What it throws must be its own error, about the bytes and with words in it.
    private static func isSound(_ read: () throws -> Void) -> Bool {
        do {
            try read()
            return true
        } catch let error as MediaError {
            precondition(!error.message.isEmpty && !error.hint.isEmpty && error.code != .io)
            return false
        } catch {
            preconditionFailure("another error")
        }
    }
}
