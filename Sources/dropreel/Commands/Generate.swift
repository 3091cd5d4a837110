import ArgumentParser
import Digests
import Foundation
import Generation
import Media
import Rules
import Sampling
import WatchFolder

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make one video from the shell, without the service.",
        discussion: "Settings are those of rule files: --set steps=2 --set seed=7 --set aspect_ratio=9:16.")

    @Argument(help: "What the film shall show.")
    var prompt: String

    @Option(help: "The first frame: a JPEG or PNG picture.")
    var image: String?

    @Option(name: .shortAndLong, help: "The film; a JSON log of the same name is written beside it.")
    var output: String = "film.mp4"

    @Option(name: .customLong("set"), help: "A setting, name=value; may be repeated.")
    var settings: [String] = []

    @Option(help: "Most memory to take of the GPU, 12GiB; without it what is free.")
    var gpuMemory: ByteCount?

    @OptionGroup var option: ConfigurationOption

    @Flag(help: "Print the log as JSON.")
    var json = false

    func run() throws {
        let configuration = try option.load()
        let library = configuration.library
        let job = try job(configuration.catalogue(library))
        var picture: RGBImage?
        do {
            if let image { picture = try ImageDecoder.decode(path: image) }
        } catch let error as MediaError {
            throw fail(error.code == .io ? .noInput : .dataError, "\(image ?? ""): \(error.message)", hint: error.hint)
        }
        let seed = job.fixedSeed ?? UInt64.random(in: 0...SettingDefinition.maximumSeed)
        var request = GenerationRequest(job, prompt: job.usedPrompt, image: picture, seed: seed)
        request.noiseDevice = NoiseDevice(configuration.engine)
        let backend = try EngineFactory.backend(
            configuration, threads: configuration.engine.threads, memoryLimit: gpuMemory?.value)
        try make(request, with: EngineFactory.generator(configuration, backend), job: job)
    }

    private func job(_ catalogue: ModelCatalogue) throws -> JobSettings {
        let head = settings.map { $0.replacing("=", with: " = ", maxReplacements: 1) }.joined(separator: "\n")
        let text = (head.isEmpty ? "" : head + "\n---\n") + prompt + "\n"
        do {
            let file = try PromptFile.read(Array(text.utf8), source: "command line", isList: false)
            let jobs = try JobExpansion.jobs(
                folder: SettingLayer(), promptFile: file, mode: image == nil ? .textToVideo : .imageToVideo,
                models: catalogue)
            guard jobs.count == 1 else {
                throw fail(.usage, "the settings ask for \(jobs.count) films", hint: "generate makes one; use one seed")
            }
            return jobs[0]
        } catch let problems as RuleProblems {
            for problem in problems.all { Console.error("error: \(problem.message)\nhint: \(problem.hint)") }
            throw ExitCode.usage
        }
    }

    private func make(_ request: GenerationRequest, with generator: Generator, job: JobSettings) throws {
        let id = JobID(at: Date())
        let order = RenderOrder(
            jobID: id, epoch: 1, mode: job.mode, promptGiven: prompt, promptUsed: request.prompt,
            imageSnapshot: image.map { URL(fileURLWithPath: $0) }, settings: job, seed: request.seed,
            metadata: .object([
                "id": .string(id.text), "mode": .string(job.mode.rawValue),
                "prompt": .object(["given": .string(prompt), "used": .string(request.prompt)]),
                "seed": .integer(Int64(bitPattern: request.seed)), "settings": try JSONValue.encoding(job),
                "program_version": .string(ProgramVersion.current),
            ]))
        var bar = ProgressBar(label: URL(fileURLWithPath: output).lastPathComponent)
        do {
            let sink = try FilmSink(path: output, settings: request.videoSettings, marks: order.marks(request: request))
            let result = try generator.generate(request, sink: sink) { progress in
                let detail =
                    progress.stage == .step ? "step \(progress.step) of \(progress.stepCount)" : progress.stage.rawValue
                bar.update(fraction: progress.fraction, remaining: progress.secondsLeft, detail: detail)
                return true
            }
            bar.finish()
            try order.verify(film: output, request: request)
            var log = try result.report.fields()
            log["output"] = .object(["sha256": .string(try Digest.ofFile(output))])
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            let path = URL(fileURLWithPath: output).deletingPathExtension().appendingPathExtension("json")
            let text = try encoder.encode(JSONValue.object(log))
            try text.write(to: path, options: .atomic)
            Console.print(json ? String(decoding: text, as: UTF8.self) : output)
        } catch {
            bar.finish()
            let known = ServiceError.wrapping(FilmEngine.serviceError(error))
            throw fail(Self.exitCode(known.code), known.message, hint: known.hint)
        }
    }

    private static func exitCode(_ code: ServiceError.Code) -> ExitCode {
        switch code {
        case .badSettings: .usage
        case .badInput, .incompleteInput: .dataError
        case .configuration: .configuration
        case .noSpace: .cannotCreate
        case .outOfMemory, .deviceLost: .unavailable
        default: .inputOutput
        }
    }
}
