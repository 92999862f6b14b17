"""The lab's addresses, mirrors and proxy, and the images made from them, as far as they are pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from mainstay.errors import LabError
from mainstay.lab import addresses, mirror, network, proxy, recipe
from mainstay.lab.addresses import Network

MIRROR = "http://mirror.example/debian"
SECURITY = "http://mirror.example/debian-security"


class TestAddresses:
    def test_labs_do_not_overlap(self) -> None:
        subnets = [Network(index).subnet for index in range(16)]
        assert not any(a.overlaps(b) for a in subnets for b in subnets if a != b)
        assert all(subnet.subnet_of(IPv4Network("198.18.0.0/16")) for subnet in subnets)

    def test_everything_of_a_lab_is_in_its_subnet(self) -> None:
        lab = Network(3)
        for address in (lab.outside, lab.gateway, lab.address(11), lab.address(4094)):
            assert address in lab.subnet

    def test_the_longest_link_name_fits_the_kernel(self) -> None:
        assert len(Network(15).link(4094)) <= 15

    def test_the_lowest_number_is_given_out_again(self) -> None:
        assert Network(0).free_number({11, 12, 14}) == 13

    def test_a_full_network_says_so(self) -> None:
        with pytest.raises(LabError, match=r"198.18.0.0/20 is full: it holds 4084 hosts"):
            Network(0).free_number(set(range(4095)))

    def test_the_default_lab_is_the_first_and_others_follow(self) -> None:
        assert addresses.free_index("lab", set(), []) == 0
        assert addresses.free_index("mine", set(), []) == 1
        assert addresses.free_index("mine", set(range(1, 16)), []) == 0

    def test_a_network_that_the_machine_is_on_already_is_left_alone(self) -> None:
        assert addresses.free_index("lab", set(), [IPv4Network("198.18.3.0/24")]) == 1

    def test_sixteen_labs_are_enough(self) -> None:
        with pytest.raises(LabError, match="take a lab down first"):
            addresses.free_index("mine", set(range(16)), [])

    @pytest.mark.parametrize("name", ["", "a/b", "..", "cache", "locks", "-a", "A", "a" * 33])
    def test_a_lab_cannot_be_called(self, name: str) -> None:
        with pytest.raises(LabError, match=r"MAINSTAY_LAB: found .*, expected"):
            addresses.checked_name(name)

    def test_hardware_addresses_are_local_and_differ(self) -> None:
        assert addresses.mac(IPv4Address("198.18.0.11")) == "02:4d:c6:12:00:0b"

    def test_rules_let_only_the_gateway_out(self) -> None:
        text = network.rules(Network(2))
        assert 'ip saddr 198.18.32.2 oifname != "mslab2" masquerade' in text
        assert text.count("drop") == 3


class TestMirror:
    LINES = f"deb [arch=amd64 signed-by=/k] {MIRROR} bookworm main\ndeb {SECURITY}/ bookworm-security main\n"
    DEB822 = (
        f"Types: deb deb-src\nURIs: {MIRROR}/\nSuites: bookworm bookworm-updates\nComponents: main\n\n"
        f"Types: deb\nURIs: {SECURITY}\nSuites: bookworm-security\nComponents: main\n"
    )
    FOREIGN = (
        "deb https://other.example/apt bookworm-tools main\nTypes: deb\nURIs: https://n.example/x\nSuites: nodistro\n"
    )

    @pytest.mark.parametrize("text", [LINES, DEB822])
    def test_both_forms_of_sources(self, text: str) -> None:
        found = mirror.parse([text], "")
        assert (found.archive, found.security) == (MIRROR, SECURITY)

    def test_sources_that_are_not_debians_or_switched_off_do_not_count(self) -> None:
        off = "Enabled: no\n" + self.DEB822.replace("mirror", "off")
        found = mirror.parse([off.split("\n\n")[0], self.FOREIGN.replace("bookworm-tools", "nodistro"), self.LINES], "")
        assert found.archive == MIRROR

    def test_security_is_beside_the_archive_where_it_is_not_named(self) -> None:
        assert mirror.parse([f"deb {MIRROR} trixie main"], "").security == SECURITY

    def test_no_archive(self) -> None:
        with pytest.raises(LabError, match="/etc/apt: found no source"):
            mirror.parse([self.FOREIGN.replace("bookworm-tools", "nodistro")], "")

    def test_settings_of_a_mirror_that_stands_still_are_carried_over(self) -> None:
        dump = 'APT "";\nAcquire::Check-Valid-Until "false";\nAcquire::Retries "3";\n'
        assert mirror.parse([self.LINES], dump).settings == ('Acquire::Check-Valid-Until "false";',)

    def test_a_proxy_is_used_and_its_name_is_what_is_resolved(self) -> None:
        found = mirror.parse([self.LINES], 'Acquire::http::Proxy "http://proxy.example:3128";\n')
        assert found.names() == {"proxy.example"}
        assert mirror.resolved(found, lambda name: "192.0.2.9") == "192.0.2.9 proxy.example\n"

    def test_a_proxy_on_the_loopback_is_out_of_reach(self) -> None:
        with pytest.raises(LabError, match="hosts of the lab cannot reach"):
            mirror.parse([self.LINES], 'Acquire::http::Proxy "http://127.0.0.1:3128";\n')

    def test_a_name_that_does_not_resolve(self) -> None:
        def fail(name: str) -> str:
            raise OSError("no such name")

        with pytest.raises(LabError, match=r"mirror\.example, where this machine's packages come from"):
            mirror.resolved(mirror.parse([self.LINES], ""), fail)

    def test_hosts_ask_the_gateway_for_what_comes_by_https(self) -> None:
        found = mirror.Mirror("https://mirror.example/debian", SECURITY)
        assert "URIs: http://mirror.example/debian\n" in found.sources(13)
        assert "deb https://mirror.example/debian trixie main\n" in found.one_line_sources(13)


class TestProxy:
    def config(self, archive: str = MIRROR, security: str = SECURITY, by: str = "") -> str:
        return " ".join(proxy.config(mirror.Mirror(archive, security, (), by), Network(2)).split())

    def test_only_the_mirrors_are_asked_and_each_as_this_machine_does(self) -> None:
        found = self.config("https://a.example/debian", "http://b.example:8080/security")
        assert "map $host $origin { b.example http://b.example; a.example https://a.example; }" in found
        assert "upstream b.example { server b.example:8080; } upstream a.example { server a.example:443; }" in found
        assert 'if ($origin = "") { return 403; }' in found

    def test_behind_a_proxy_that_one_is_asked_for_whole_addresses(self) -> None:
        found = self.config(by="http://proxy.example:3128")
        assert "upstream proxy { server proxy.example:3128; }" in found
        assert 'rewrite ^(.*)$ "http$1" break; proxy_pass http://proxy;' in found
        assert "proxy_pass $origin" not in found

    def test_an_archive_by_https_behind_a_proxy_is_out_of_reach(self) -> None:
        with pytest.raises(LabError, match=r"found https://m\.example/debian behind apt's proxy http://p\.example"):
            mirror.parse(["deb https://m.example/debian bookworm main"], 'Acquire::http::Proxy "http://p.example";\n')


class TestRecipe:
    def test_the_same_recipe_has_the_same_name(self) -> None:
        found = mirror.Mirror(MIRROR, SECURITY)
        assert recipe.base(12, found).name == recipe.base(12, found).name

    def test_whatever_changes_an_image_changes_its_name(self) -> None:
        found = mirror.Mirror(MIRROR, SECURITY)
        other = [mirror.Mirror("http://b.example", SECURITY), mirror.Mirror(MIRROR, SECURITY, ("A 1;",))]
        names = {recipe.base(12, found).name, recipe.base(13, found).name, *(recipe.base(12, m).name for m in other)}
        assert len(names) == 4

    def test_nothing_that_mainstay_deploys_is_in_it(self) -> None:
        assert not {"nginx", "postgresql", "redis-server", "chrony"} & set(recipe.PACKAGES)
