import ArgumentParser
import CPUBackend
import Checkpoints
import Foundation
import Generation

struct Models: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the installed models, look into a weights file, or verify a model.",
        subcommands: [List.self, Inspect.self, Verify.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Name the installed models and what they can do.")

        @OptionGroup var option: ConfigurationOption

        @Flag(help: "Print JSON.")
        var json = false

        struct Row: Encodable {
            var name: String
            var version: String
            var folder: String
            var modes: [String]
            var resolutions: [String]
            var frames: [Int]
            var memoryBytes: [String: Int]
        }

        func run() throws {
            let library = try option.load().library
            let generator = Generator(library: library, backend: CPUBackend(threads: 1))
            let rows = library.models.map { model in
                var memory: [String: Int] = [:]
                for mode in model.modes {
                    memory[mode.rawValue] = try? ModelInspection.estimate(model, mode, generator).leastBytes
                }
                return Row(
                    name: model.name, version: model.manifest.version, folder: model.folder.lastPathComponent,
                    modes: model.modes.map(\.rawValue), resolutions: model.manifest.resolutions.sizes.keys.sorted(),
                    frames: [model.manifest.frames.minimum, model.manifest.frames.maximum], memoryBytes: memory)
            }
            if json { return try Console.printJSON(rows) }
            for row in rows {
                let memory = row.memoryBytes.sorted { $0.key < $1.key }
                    .map { "\($0.key) \(MemoryEstimate.text($0.value))" }.joined(separator: ", ")
                Console.print(
                    "\(row.name) \(row.version): \(row.modes.joined(separator: ", ")); "
                        + "\(row.resolutions.joined(separator: ", ")); \(row.frames[0])-\(row.frames[1]) frames; "
                        + "needs \(memory)")
            }
            for problem in library.problems { Console.error("error: \(problem.message)\nhint: \(problem.hint)") }
            if rows.isEmpty { throw fail(.unavailable, "no model is installed", hint: "see README.md, Real models") }
        }
    }

    struct Inspect: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the tensors of a .safetensors or .pth file, and what it is.")

        @Argument(help: "A weights file, an index of shards, or a folder of shards.")
        var file: String

        @Flag(help: "Print JSON.")
        var json = false

        struct Entry: Encodable {
            var name: String
            var dtype: String
            var shape: [Int]
        }

        func run() throws {
            do {
                let checkpoint = try Checkpoint.open(file)
                let entries = checkpoint.names.sorted().compactMap { name in
                    checkpoint.layout(name).map { Entry(name: name, dtype: $0.dtype.rawValue, shape: $0.shape) }
                }
                if json { return try Console.printJSON(entries) }
                for entry in entries { Console.print("\(entry.name)  \(entry.dtype)  \(entry.shape)") }
                Console.print("\(entries.count) tensors. \(Self.kind(checkpoint))")
            } catch let error as CheckpointError {
                throw fail(.dataError, error.message, hint: error.hint)
            }
        }

        private static func kind(_ checkpoint: Checkpoint) -> String {
            if let found = try? canonicalTransformer(checkpoint).layout { return "A transformer: \(found)" }
            if let found = try? canonicalTextEncoder(checkpoint).layout { return "A umT5 text encoder: \(found)" }
            if let found = try? canonicalVAE(checkpoint).layout { return "A Wan VAE: \(found)" }
            return "Not a transformer, text encoder or VAE that this program knows."
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check that every file of the installed models is whole and fits the others.")

        @Argument(help: "A model's name; all of them if left out.")
        var name: String?

        @OptionGroup var option: ConfigurationOption

        func run() throws {
            let library = try option.load().library
            let chosen: [Model]
            do { chosen = try name.map { [try library.model($0)] } ?? library.models } catch {
                let known = error as? GenerationError
                throw fail(.usage, known?.message ?? "\(error)", hint: known?.hint)
            }
            var count = 0
            let found = chosen.map { ($0, ModelInspection.problems(of: $0)) }
            for (model, problems) in found {
                for problem in problems { Console.error("error: \(problem.message)\nhint: \(problem.hint)") }
                count += problems.count
                if problems.isEmpty { Console.print("\(model.name): every file is whole and fits the others.") }
            }
            for problem in library.problems where name == nil {
                Console.error("error: \(problem.message)\nhint: \(problem.hint)")
                count += 1
            }
            if count > 0 { throw ExitCode.dataError }
        }
    }
}
