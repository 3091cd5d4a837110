import ArgumentParser
import Foundation
import Generation
import Media
import Rules
import WatchFolder

struct DecodeLatents: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a film from latents that a job has left.",
        discussion: """
            Latents are kept in state/latents from the last step until the film is safe. A job that is tried again takes \
            them by itself; this is for those that were given up. A sound that was dropped with the job is not put under the film.
            """)

    @Argument(help: "The file of latents.")
    var latents: String

    @Option(name: .shortAndLong, help: "The film.")
    var output: String = "film.mp4"

    @OptionGroup var option: ConfigurationOption

    func run() throws {
        let configuration = try option.load()
        do {
            let saved = try SavedLatents(path: latents)
            let request = saved.request
            let backend = try EngineFactory.backend(configuration, threads: configuration.engine.threads)
            let film = try FilmSink(
                path: output, settings: request.videoSettings, marks: VideoMarks(notes: saved.notes))
            let sink = try LabellingSink(film, text: saved.notes["label"] ?? "", request: request)
            var bar = ProgressBar(label: URL(fileURLWithPath: output).lastPathComponent)
            defer { bar.finish() }
            _ = try EngineFactory.generator(configuration, backend).decode(saved, sink: sink) { progress in
                bar.update(
                    fraction: progress.fraction, remaining: progress.secondsLeft, detail: progress.stage.rawValue)
                return true
            }
            Console.print(output)
        } catch let error as GenerationError {
            throw fail(error.code == .request ? .dataError : .software, error.message, hint: error.hint)
        } catch let error as MediaError {
            throw fail(.cannotCreate, error.message, hint: error.hint)
        }
    }
}
