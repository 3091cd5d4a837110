import ArgumentParser
import Foundation
import Generation
import Rules
import WatchFolder

/// `--config FILE`, and what follows from it.
struct ConfigurationOption: ParsableArguments {
    @Option(
        name: .long, help: "The service's settings. Default: etc/dropreel.toml here, else /etc/dropreel/dropreel.toml.")
    var config: String?

    /// The file that is read; nil when there is none and none was asked for.
    var path: String? {
        if let config { return URL(fileURLWithPath: config).standardizedFileURL.path }
        return ["etc/dropreel.toml", "/etc/dropreel/dropreel.toml"]
            .map { URL(fileURLWithPath: $0).standardizedFileURL.path }
            .first { FileManager.default.fileExists(atPath: $0) }
    }

    /// - Throws: `ExitCode.configuration` after saying why.
    func load() throws -> ServiceConfiguration {
        do {
            return try read()
        } catch let problems as RuleProblems {
            for problem in problems.all { Console.error("error: \(problem.description)\nhint: \(problem.hint)") }
            throw ExitCode.configuration
        } catch is Unreadable {
            throw fail(
                .configuration, "The configuration \(path ?? "") cannot be read.", hint: "Check the path and its mode.")
        }
    }

    /// The file is not there, or may not be read.
    struct Unreadable: Error, CustomStringConvertible {
        var path: String
        var description: String { "\(path) cannot be read" }
    }

    /// - Throws: `RuleProblems`, `Unreadable`.
    func read() throws -> ServiceConfiguration {
        guard let path else { return .standard(root: FileManager.default.currentDirectoryPath) }
        let url = URL(fileURLWithPath: path)
        guard let data = try? Data(contentsOf: url) else { throw Unreadable(path: path) }
        return try ServiceConfiguration.read(
            Array(data), source: url.lastPathComponent, directory: url.deletingLastPathComponent().path)
    }
}

extension ServiceConfiguration {
    var layout: ServiceLayout {
        func url(_ path: String) -> URL { URL(fileURLWithPath: path, isDirectory: true) }
        return ServiceLayout(
            inbox: url(folders.inbox), outbox: url(folders.outbox), rules: url(folders.rules), state: url(folders.state)
        )
    }

    var library: ModelLibrary {
        ModelLibrary(directories: models.directories.map { URL(fileURLWithPath: $0, isDirectory: true) })
    }

    /// The models the library holds, with the administrator's choice of the standard ones.
    func catalogue(_ library: ModelLibrary) -> ModelCatalogue {
        var catalogue = ModelCatalogue(library)
        catalogue.defaultModels[.textToVideo] = models.textToVideo
        catalogue.defaultModels[.imageToVideo] = models.imageToVideo
        return catalogue
    }

    var attemptPolicy: AttemptPolicy { AttemptPolicy(maximumFailures: jobs.attempts) }

    /// Threads of one worker's engine.
    var threadsPerWorker: Int {
        engine.threads > 0
            ? engine.threads : max(1, ProcessInfo.processInfo.activeProcessorCount / max(1, engine.workers))
    }

    /// The rule files of the rules folder; unreadable ones are passed over here, the service reports them.
    func ruleFiles() -> [RuleFile] {
        let root = URL(fileURLWithPath: folders.rules, isDirectory: true).resolvingSymlinksInPath()
        guard let found = FileManager.default.enumerator(at: root, includingPropertiesForKeys: [.isRegularFileKey])
        else { return [] }
        return found.compactMap { $0 as? URL }.compactMap { url in
            let path = String(url.resolvingSymlinksInPath().path.dropFirst(root.path.count + 1))
            guard RuleSet.folderKey(path) != nil, let data = try? Data(contentsOf: url) else { return nil }
            return RuleFile(path: path, bytes: Array(data))
        }
    }
}
