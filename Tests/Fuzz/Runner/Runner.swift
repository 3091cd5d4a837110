import Foundation
import FuzzTargets

// dropreel-fuzz TARGET [--runs N] [--seed S]   mutated inputs from seed S on, one seed each
// dropreel-fuzz TARGET --file PATH             one input
// dropreel-fuzz TARGET --corpus FOLDER         writes the inputs to begin with there
// dropreel-fuzz TARGET --keep FOLDER           keeps some files of the folder in Tests/Fuzz/Corpus
// dropreel-fuzz --list
//
// Before each input its seed is kept in memory; a crash leaves it on standard error, so that
// `dropreel-fuzz TARGET --runs 1 --seed S` repeats it. Built with -DLIBFUZZER and -sanitize=fuzzer the same targets run
// guided by coverage (scripts/fuzz.sh).

#if !LIBFUZZER
    @main
    enum Runner {
        /// Invariant: written by the one thread before each input, read by the signal handler of the same thread.
        nonisolated(unsafe) static var current: UInt64 = 0

        static func main() throws {
            var arguments = Array(CommandLine.arguments.dropFirst())
            if arguments == ["--list"] { return print(FuzzTarget.allCases.map(\.rawValue).joined(separator: "\n")) }
            guard !arguments.isEmpty, let target = FuzzTarget(rawValue: arguments.removeFirst()) else {
                FileHandle.standardError.write(Data("usage: dropreel-fuzz TARGET [--runs N] [--seed S]\n".utf8))
                exit(64)
            }
            func value(_ name: String) -> String? {
                arguments.firstIndex(of: name).flatMap { arguments.dropFirst($0 + 1).first }
            }
            if let path = value("--file") {
                let isSound = target.run([UInt8](try Data(contentsOf: URL(filePath: path))))
                return print(isSound ? "sound" : "refused")
            }
            if let path = value("--corpus") { return try target.writeInputs(to: URL(filePath: path)) }
            if let path = value("--keep") { return try target.keep(URL(filePath: path)) }
            run(
                target, runs: value("--runs").flatMap(Int.init) ?? 100_000,
                seed: value("--seed").flatMap(UInt64.init) ?? 1)
        }

        private static func run(_ target: FuzzTarget, runs: Int, seed: UInt64) {
            for number in [SIGILL, SIGTRAP, SIGSEGV, SIGABRT, SIGBUS, SIGFPE] {
                signal(number) { number in
                    var text: [UInt8] = Array("crash; repeat with --runs 1 --seed \(Runner.current)\n".utf8)
                    _ = write(STDERR_FILENO, &text, text.count)
                    signal(number, SIG_DFL)
                    raise(number)
                }
            }
            let start = ContinuousClock.now
            for index in 0..<runs {
                current = seed &+ UInt64(index)
                var mutator = Mutator(target, seed: current)
                target.run(mutator.next())
            }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            print(
                "\(target.rawValue): \(runs) executions in \(Int(seconds)) s, \(Int(Double(runs) / max(seconds, 1e-9))) a second"
            )
        }
    }
#endif
