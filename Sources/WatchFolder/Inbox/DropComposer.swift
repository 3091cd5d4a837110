import Foundation
import Intake
import Rules

/// Turns gathered files into a drop with its jobs, or says what they wait for. Touches no ledger.
struct DropComposer {
    enum Outcome {
        case drop(NewDrop)
        case wait(String)
    }

    var layout: ServiceLayout
    var models: ModelCatalogue
    var filmReader: (any FilmMetadataReading)?
    /// Finds a picture or sound by its digest, for films dropped back.
    var findFile: (String) -> Bool
    /// Films already published for inputs of this key, when the ledger was rebuilt.
    var recall: (String) throws -> [PublishedMemory]

    /// - Parameters:
    ///   - rule: effective rule of the folder; broken ones never come here.
    ///   - imageMayRunAlone: the picture has waited for a prompt long enough.
    func compose(
        _ gathering: Gathering, inputs: [InputRecord], rule: SettingLayer, imageMayRunAlone: Bool, at now: Date
    ) throws -> Outcome {
        let after = Self.after(rule)
        var drop = NewDrop(
            id: JobID(at: now), folder: gathering.folder.string, stem: gathering.stem, acceptedAt: now, after: after,
            inputs: inputs, jobs: [], refusal: nil, replaces: [])
        if let member = gathering.members.first(where: { $0.rejection != nil }), let rejection = member.rejection {
            drop.refusal = ServiceError(.badInput, "\(member.path.name): \(rejection.reason)", hint: rejection.hint)
            return .drop(drop)
        }
        do {
            switch try plan(gathering, inputs: inputs, rule: rule, imageMayRunAlone: imageMayRunAlone) {
            case .wait(let reason): return .wait(reason)
            case .jobs(let settings, let companions):
                if let first = settings.first { drop.after = first.after.value }
                drop.jobs = try jobs(settings, drop: drop, companions: companions, at: now)
            }
        } catch {
            guard let refusal = Self.refusal(error) else { throw error }
            drop.refusal = refusal
        }
        return .drop(drop)
    }

    /// What the files would be made with, without a drop.
    enum Plan {
        /// Seeds may still be random.
        case jobs([JobSettings], Companions)
        case wait(String)
    }

    /// Files that a film is made with, by digest.
    struct Companions {
        var image: String?
        var audio: String?
    }

    func plan(
        _ gathering: Gathering, inputs: [InputRecord], rule: SettingLayer, imageMayRunAlone: Bool
    ) throws -> Plan {
        let (promptFile, companions) = try ingredients(gathering, inputs: inputs)
        let mode: GenerationMode = companions.image == nil ? .textToVideo : .imageToVideo
        if promptFile == nil, gathering.prompt == nil {
            guard gathering.image != nil || gathering.audio != nil else {
                return .wait("a contact sheet is no input; drop the film or its JSON beside it")
            }
            let missing = "waiting for \(gathering.stem).prompt"
            // Sound alone has no picture to move.
            guard gathering.image != nil else { return .wait(missing) }
            guard imageMayRunAlone, rule.prompts != nil else { return .wait(missing) }
        }
        let settings = try JobExpansion.jobs(folder: rule, promptFile: promptFile, mode: mode, models: models)
        return .jobs(settings, companions)
    }

    /// The reason to give the files back, where the error is one.
    static func refusal(_ error: any Error) -> ServiceError? {
        if let problems = error as? RuleProblems { return Self.error(problems) }
        if let known = error as? ServiceError, known.code == .badInput { return known }
        return nil
    }

    private static func after(_ rule: SettingLayer) -> AfterJob {
        if case .text(let word) = rule[.after]?.value { return AfterJob(rawValue: word) ?? .move }
        return .move
    }

    private static func error(_ problems: RuleProblems) -> ServiceError {
        var message = problems.first.description
        if problems.all.count > 1 { message += " (and \(problems.all.count - 1) more)" }
        return ServiceError(.badSettings, message, hint: problems.first.hint, cause: problems.first.code.rawValue)
    }

    private func ingredients(
        _ gathering: Gathering, inputs: [InputRecord]
    ) throws -> (promptFile: PromptFile?, companions: Companions) {
        if let film = gathering.film {
            let digest = inputs.first { $0.role == film.role }?.sha256 ?? ""
            let rerun = try FilmRerun(
                snapshot: layout.snapshot(digest), isLog: film.role == .filmLog, name: film.path.name,
                reader: filmReader)
            if let image = rerun.imageSHA256, !findFile(image) {
                throw ServiceError(
                    .badInput, "\(film.path.name) was made from a picture that is not here any more.",
                    hint: "Drop the picture again, with a prompt of the same name beside it.")
            }
            var companions = Companions(image: rerun.imageSHA256, audio: rerun.audioSHA256)
            if let given = inputs.first(where: { $0.role == .audio }) {
                companions.audio = given.sha256
            } else if let audio = rerun.audioSHA256, !findFile(audio) {
                throw ServiceError(
                    .badInput, "\(film.path.name) was made with a sound that is not here any more.",
                    hint: "Drop the sound beside it, under the same name.")
            }
            return (PromptFile(film: film.path.name, prompt: rerun.prompt, seed: rerun.seed), companions)
        }
        var promptFile: PromptFile?
        if let prompt = gathering.prompt, let input = inputs.first(where: { $0.role == prompt.role }) {
            let bytes = try readPrompt(layout.snapshot(input.sha256), name: prompt.path.name)
            promptFile = try PromptFile.read(bytes, source: prompt.path.name, isList: prompt.role == .promptList)
        }
        let companions = Companions(
            image: inputs.first { $0.role == .image }?.sha256, audio: inputs.first { $0.role == .audio }?.sha256)
        return (promptFile, companions)
    }

    private func readPrompt(_ snapshot: URL, name: String) throws -> [UInt8] {
        do {
            let folder = try SafeRoot(path: snapshot.deletingLastPathComponent().path)
            return try folder.open(RelativePath(snapshot.lastPathComponent)).readAll(limit: PromptFile.maximumBytes)
        } catch {
            guard error.code == .tooLarge else { throw ServiceError.system("read", name, errno: error.errno) }
            throw ServiceError(
                .badInput, "\(name) has more than \(PromptFile.maximumBytes / 1024) KiB.",
                hint: "A prompt is a few sentences; check that it is the right file.")
        }
    }

    private func jobs(
        _ settings: [JobSettings], drop: NewDrop, companions: Companions, at now: Date
    ) throws -> [NewJob] {
        let key = PublishedMemory.key(folder: drop.folder, digests: drop.inputs.map(\.sha256))
        var memories = try recall(key)
        return settings.enumerated().map { ordinal, setting in
            var fixed = setting
            // What every other program that takes a seed can take, too.
            fixed.fixSeed(UInt64.random(in: 0...UInt64(UInt32.max)))
            var settled: NewJob.Settled?
            if let index = memories.firstIndex(where: { $0.ordinal == ordinal && $0.siblings == settings.count }) {
                settled = .published(memories.remove(at: index).jobID)
            }
            return NewJob(
                id: JobID(at: now), settings: fixed, seed: fixed.fixedSeed ?? 0, imageSHA256: companions.image,
                audioSHA256: companions.audio, settled: settled)
        }
    }
}

/// What a film of ours, or its log, says about how it was made.
struct FilmRerun {
    var prompt: String
    var seed: UInt64
    var imageSHA256: String?
    var audioSHA256: String?

    init(snapshot: URL, isLog: Bool, name: String, reader: (any FilmMetadataReading)?) throws {
        let foreign = ServiceError(
            .badInput, "\(name) is no film or log of this service.",
            hint: "Only MP4 and JSON files from the outbox can be run again.")
        let bytes: Data
        if isLog {
            var status = stat()
            guard stat(snapshot.path, &status) == 0, status.st_size <= 4 << 20 else { throw foreign }
            bytes = try Data(contentsOf: snapshot)
        } else {
            guard let text = try? reader?.dropreelMetadata(of: snapshot) else { throw foreign }
            bytes = Data(text.utf8)
        }
        guard let object = try? JSONDecoder().decode(JSONValue.self, from: bytes).objectValue,
            object["schema"]?.stringValue?.hasPrefix("dropreel.job/") == true,
            let prompt = object["prompt"]?.objectValue?["given"]?.stringValue,
            let seed = object["seed"]?.integerValue, seed >= 0
        else { throw foreign }
        self.prompt = prompt
        self.seed = UInt64(seed)
        if let audio = object["audio_sha256"]?.stringValue {
            guard Self.isDigest(audio) else { throw foreign }
            audioSHA256 = audio
        }
        guard object["mode"]?.stringValue == GenerationMode.imageToVideo.rawValue else { return }
        guard let image = object["image_sha256"]?.stringValue, Self.isDigest(image) else { throw foreign }
        imageSHA256 = image
    }

    private static func isDigest(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }
}
