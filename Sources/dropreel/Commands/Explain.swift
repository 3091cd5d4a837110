import ArgumentParser
import Foundation
import Rules

struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what a file in the inbox would be made with, and where each value comes from.")

    @Argument(help: "A picture or prompt below the inbox; it need not exist.")
    var file: String

    @OptionGroup var option: ConfigurationOption

    @Flag(help: "Print JSON, one object for each job.")
    var json = false

    func run() throws {
        let configuration = try option.load()
        let catalogue = configuration.catalogue(configuration.library)
        let url = URL(fileURLWithPath: file)
        let rules = RuleSet(files: configuration.ruleFiles(), models: catalogue)
        do {
            let layer: SettingLayer
            switch rules.rule(forFolder: try folder(of: url, configuration)) {
            case .sound(let found): layer = found
            case .broken(let problems): throw problems
            }
            let drop = try Drop(url)
            let jobs = try JobExpansion.jobs(
                folder: layer, promptFile: drop.prompt, mode: drop.mode, models: catalogue)
            for (index, job) in jobs.enumerated() {
                if json {
                    Console.print(try job.explanationJSON())
                } else {
                    if jobs.count > 1 { Console.print("job \(index + 1) of \(jobs.count)") }
                    Console.print(job.explanation)
                }
            }
        } catch let problems as RuleProblems {
            for problem in problems.all { Console.error("error: \(problem)\nhint: \(problem.hint)") }
            throw ExitCode.dataError
        }
    }

    private func folder(of file: URL, _ configuration: ServiceConfiguration) throws -> String {
        let inbox = URL(fileURLWithPath: configuration.folders.inbox).resolvingSymlinksInPath().path
        let parent = file.deletingLastPathComponent().resolvingSymlinksInPath().path
        if parent == inbox { return "" }
        guard parent.hasPrefix(inbox + "/") else {
            throw fail(
                .usage, "\(file.lastPathComponent) is not below the inbox \(inbox)", hint: "name a file in the inbox")
        }
        return String(parent.dropFirst(inbox.count + 1))
    }

    /// The file with its partner of the same stem.
    private struct Drop {
        var mode = GenerationMode.textToVideo
        var prompt: PromptFile?

        init(_ url: URL) throws {
            let folder = url.deletingLastPathComponent()
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
            let given = DropName(url.lastPathComponent)
            let partners = names.map { DropName($0) }.filter { $0.stemKey == given.stemKey } + [given]
            if partners.contains(where: { $0.kind == .image }) { mode = .imageToVideo }
            guard let text = partners.first(where: { $0.kind == .prompt || $0.kind == .promptList }),
                let data = try? Data(contentsOf: folder.appending(path: text.name))
            else { return }
            prompt = try PromptFile.read(Array(data), source: text.name, isList: text.kind == .promptList)
        }
    }
}
