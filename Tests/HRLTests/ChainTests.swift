import ByteCodec
import DiskModel
import HRL
import Testing

@Suite struct ChainTests {
    private func link(
        _ name: String, _ id: UInt32, after previous: UInt32, time: UInt32 = 100, closed: Bool = true, guid: UInt32 = 0
    ) -> LogLink {
        var header = LogHeader()
        header.uniqueID = GUID(id)
        header.previousUniqueID = GUID(previous)
        header.timeStamp = time
        header.eolLocation = closed ? 8192 : 0
        header.vhd2DataWriteGUID = GUID(guid)
        return LogLink(path: name, header: header)
    }

    private func fault(_ links: [LogLink], after last: UInt32? = nil) -> DiskError? {
        do throws(DiskError) {
            _ = try LogChainOrder(links, after: last.map { GUID($0) })
            return nil
        } catch { return error }
    }

    private func expect(
        _ error: DiskError?, _ fault: LogChainOrder.Fault, _ names: [String], path: String,
        location: SourceLocation = #_sourceLocation
    ) {
        #expect(error?.kind == .chain && error?.path == path, sourceLocation: location)
        #expect(error?.formatError?.code == .hrlChain, sourceLocation: location)
        let problem = error?.formatError?.problem ?? ""
        #expect(problem.hasPrefix(fault.rawValue + ":"), "\(problem)", sourceLocation: location)
        for name in names { #expect(problem.contains(name), "\(problem)", sourceLocation: location) }
    }

    @Test func order() throws {
        let links = [link("c", 3, after: 2), link("a", 1, after: 9), link("b", 2, after: 1)]
        let order = try LogChainOrder(links)
        #expect(order.indices == [1, 2, 0] && order.findings.isEmpty && order.unclosed == nil)
        #expect(try LogChainOrder([]).indices == [])
        #expect(try LogChainOrder(links, after: GUID(9)).indices == [1, 2, 0])
    }

    @Test func appliedLogsAreLeftOut() throws {
        let links = [link("c", 3, after: 2), link("a", 1, after: 0), link("b", 2, after: 1)]
        let order = try LogChainOrder(links, after: GUID(2))
        #expect(order.applied == [1, 2] && order.indices == [0])
        #expect(try LogChainOrder(links, after: GUID(3)).indices == [])
    }

    @Test func duplicate() {
        expect(fault([link("a", 1, after: 0), link("b", 1, after: 7)]), .duplicate, ["a"], path: "b")
    }
    @Test func fork() {
        let links = [link("a", 1, after: 0), link("b", 2, after: 1), link("c", 3, after: 1)]
        expect(fault(links), .fork, ["b", "c"], path: "c")
    }
    @Test func cycle() {
        expect(fault([link("a", 1, after: 2), link("b", 2, after: 1)]), .cycle, ["a", "b"], path: "a")
        expect(fault([link("a", 1, after: 1)]), .cycle, ["a"], path: "a")
        let beside = [link("a", 1, after: 0), link("b", 2, after: 3), link("c", 3, after: 2)]
        expect(fault(beside), .cycle, ["b", "c"], path: "b")
    }
    @Test func severalStarts() {
        let links = [link("a", 1, after: 0), link("b", 2, after: 0, time: 200)]
        expect(fault(links), .severalStarts, ["a", "b"], path: "b")
    }
    @Test func gap() {
        let missing = "\(GUID(2))"
        expect(fault([link("a", 1, after: 0), link("c", 3, after: 2, time: 200)]), .gap, [missing], path: "c")
        let parted = [link("d", 4, after: 3, time: 300), link("b", 2, after: 1), link("a", 1, after: 0)]
        expect(fault(parted), .gap, ["d follows \(GUID(3))", "ends with b, \(GUID(2))"], path: "d")
        expect(fault([link("c", 3, after: 2)], after: 1), .gap, [missing, "\(GUID(1))"], path: "c")
    }
    @Test func tooMany() {
        let many = [LogLink](repeating: link("a", 1, after: 0), count: LogChainOrder.maximumCount + 1)
        expect(fault(many), .tooMany, [], path: "a")
    }
    @Test func unclosedEndsTheChain() throws {
        let links = [link("a", 1, after: 0), link("b", 2, after: 1, closed: false), link("c", 3, after: 2)]
        let order = try LogChainOrder(links)
        #expect(order.indices == [0] && order.unclosed == 1)
        #expect(order.findings.map(\.severity) == [.error] && order.findings[0].detail.code == .hrlNotClosed)
        let last = try LogChainOrder(Array(links[..<2]))
        #expect(last.indices == [0] && last.findings.map(\.severity) == [.warning])
    }
    @Test func oddities() throws {
        let order = try LogChainOrder([link("a", 1, after: 0, guid: 1), link("b", 2, after: 1, time: 99, guid: 2)])
        #expect(order.indices == [0, 1])
        #expect(order.findings.map(\.detail.code) == [.hrlChain, .hrlDataWriteGUID])
        #expect(order.findings.map(\.severity) == [.warning, .information])
    }
    @Test func longChainIsFast() throws {
        let links = (1...LogChainOrder.maximumCount).reversed().map { link("x", UInt32($0), after: UInt32($0 - 1)) }
        #expect(try LogChainOrder(links).indices.first == LogChainOrder.maximumCount - 1)
    }
}
