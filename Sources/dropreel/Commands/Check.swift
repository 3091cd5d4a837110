import ArgumentParser
import Foundation
import Generation
import Rules

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check the configuration, the rules and the models, without starting anything.")

    @OptionGroup var option: ConfigurationOption

    @Flag(help: "Print the findings as JSON.")
    var json = false

    struct Finding: Encodable {
        var place: String
        var message: String
        var hint: String
    }

    func run() throws {
        let configuration = try option.load()
        var findings: [Finding] = []
        for (name, path) in [
            ("inbox", configuration.folders.inbox), ("outbox", configuration.folders.outbox),
            ("rules", configuration.folders.rules),
        ] where !FileManager.default.isWritableFile(atPath: path) {
            findings.append(
                Finding(
                    place: "folders.\(name)", message: "\(path) cannot be written", hint: "create it, check its mode"))
        }
        let library = configuration.library
        let catalogue = configuration.catalogue(library)
        let rules = RuleSet(files: configuration.ruleFiles(), models: catalogue)
        for (_, problems) in rules.problems.sorted(by: { $0.key < $1.key }) {
            findings += problems.all.map { Finding(place: $0.source, message: $0.located, hint: $0.hint) }
        }
        findings += library.problems.map { Finding(place: "models", message: $0.message, hint: $0.hint) }
        if library.models.isEmpty {
            findings.append(Finding(place: "models", message: "no model is installed", hint: "add a model folder"))
        }
        for model in library.models {
            findings += ModelInspection.problems(of: model).map {
                Finding(place: model.name, message: $0.message, hint: $0.hint)
            }
        }
        if json {
            try Console.printJSON(findings)
        } else {
            for finding in findings {
                Console.error("error: \(finding.place): \(finding.message)\nhint: \(finding.hint)")
            }
            Console.print(
                findings.isEmpty
                    ? "Configuration, rules and \(library.models.count) model(s) are sound."
                    : "\(findings.count) finding(s).")
        }
        if !findings.isEmpty { throw ExitCode.configuration }
    }
}
