import ArgumentParser
import Media

/// What `serve` and its workers start for each picture and sound; of no use by hand.
struct Decode: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Decode one picture or sound from standard input (started by serve).", shouldDisplay: false)

    @Argument(help: "What to do, and within which limits.")
    var order: String

    func run() throws {
        guard let order = DecodingOrder(order) else {
            throw fail(.usage, "this is no order of the same version", hint: "files are decoded by serve")
        }
        DecodingChild.run(order)
    }
}
